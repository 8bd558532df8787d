/* The fingerprint's record, and whether it still fits. */
#include "schema/fingerprint.h"

#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "schema/json.h"

#define MAX_RECORD_BYTES (64u << 10)

const char *const fingerprint_names[FINGERPRINT_N] = {
    [FINGERPRINT_BIOS] = "bios-hash",          [FINGERPRINT_DISK] = "disk-info",
    [FINGERPRINT_HOST_NAME] = "hostname-info", [FINGERPRINT_IP] = "ipaddress-info",
    [FINGERPRINT_MAC] = "macaddr-info",        [FINGERPRINT_MACHINE_ID] = "machine-id",
    [FINGERPRINT_MEMORY] = "memory-hash",      [FINGERPRINT_PROCESSOR] = "processor-hash",
    [FINGERPRINT_SYSTEM] = "system-hash",
};

static int take_hardware(const cJSON *object, struct fingerprint *f, struct err *err)
{
    size_t i;

    f->has_hardware = object->child != NULL;
    for (i = 0; i < FINGERPRINT_N; i++) {
        const char *value;
        int r = json_get_string(object, "hardwareHash", fingerprint_names[i],
                                FINGERPRINT_VALUE_SIZE - 1, &value, err);

        if (r < 0)
            return err_set(err, ERR_INVALID, "fingerprint record: hardwareHash.%s cannot be used",
                           fingerprint_names[i]);
        if (value != NULL)
            (void)str_copy(f->hardware.value[i], FINGERPRINT_VALUE_SIZE, value); /* it fits */
    }
    return 0;
}

int fingerprint_parse(const char *text, size_t n, struct fingerprint *ret, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct fingerprint f = {.threshold = 0};
    const cJSON *hardware;
    const char *uuid;
    int64_t threshold;
    int r;

    if ((r = json_parse(text, n, MAX_RECORD_BYTES, JSON_REFUSE, "fingerprint record", &root, err)) <
            0 ||
        (r = json_want_object(root, "fingerprint record", err)) < 0 ||
        (r = json_get_string(root, "", "fingerprint", UUID_SIZE - 1, &uuid, err)) < 0 ||
        (r = json_get_object(root, "", "hardwareHash", &hardware, err)) < 0 ||
        (r = json_get_i64(root, "", "similarityThreshold", &threshold, err)) < 0)
        return r;
    if (threshold != 0 && !fingerprint_is_threshold(threshold))
        return err_set(err, ERR_INVALID,
                       "fingerprint record: similarityThreshold is not -1, nor 0 to 100");
    f.threshold = (int)threshold;
    if (uuid != NULL && uuid[0] != '\0') {
        if (!ids_is_uuid(uuid))
            return err_set(err, ERR_INVALID, "fingerprint record: fingerprint is no UUID");
        memcpy(f.uuid, uuid, UUID_SIZE);
    }
    r = hardware != NULL ? take_hardware(hardware, &f, err) : 0;
    if (r < 0)
        return r;
    *ret = f;
    return 0;
}

void fingerprint_write(const struct fingerprint *f, struct buf *b)
{
    size_t i;

    (void)buf_printf(b, "{\"fingerprint\":\"%s\",\"hardwareHash\":", f->uuid);
    if (!f->has_hardware) {
        (void)buf_add_str(b, "null");
    } else {
        for (i = 0; i < FINGERPRINT_N; i++) {
            (void)buf_printf(b, "%c\"%s\":", i == 0 ? '{' : ',', fingerprint_names[i]);
            (void)buf_add_json_str(b, f->hardware.value[i], strlen(f->hardware.value[i]));
        }
        (void)buf_add_char(b, '}');
    }
    (void)buf_printf(b, ",\"similarityThreshold\":%d}", f->threshold);
}

int fingerprint_count_equal(const struct fingerprint *stored, const struct hardware *now)
{
    int n = 0;
    size_t i;

    for (i = 0; i < FINGERPRINT_N; i++)
        n += str_eq(stored->hardware.value[i], now->value[i]);
    return n;
}

bool fingerprint_is_same(const struct fingerprint *stored, const struct hardware *now)
{
    if (stored->threshold == FINGERPRINT_NO_CHECK)
        return true;
    if (!stored->has_hardware ||
        !str_eq(stored->hardware.value[FINGERPRINT_MACHINE_ID], now->value[FINGERPRINT_MACHINE_ID]))
        return false;
    if (str_eq(stored->hardware.value[FINGERPRINT_IP], now->value[FINGERPRINT_IP]))
        return true;
    return fingerprint_count_equal(stored, now) * 100 >= stored->threshold * FINGERPRINT_N;
}

bool fingerprint_is_threshold(int64_t value)
{
    return value == FINGERPRINT_NO_CHECK || (value >= 1 && value <= 100);
}
