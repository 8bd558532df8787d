/* S3's answers from any bytes: read or refused with a reason, and what was read can be used. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "transport/s3_xml.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    const char *body = (const char *)data;
    AUTO(s3_list_done) struct s3_list list = {0};
    struct s3_encryption encryption;
    struct s3_error error;
    char id[S3_UPLOAD_ID_SIZE], region[S3_REGION_SIZE];
    struct err err = {0};
    size_t i;

    s3_xml_error(body, n, &error);
    must(str_is_utf8(error.code, strlen(error.code)) &&
         str_is_utf8(error.message, strlen(error.message)));
    must(error.region[0] == '\0' || s3_is_region(error.region));
    (void)s3_region_of_host(error.endpoint, region); /* whatever it says */
    if (s3_xml_list(body, n, &list, &err) == 0) {
        for (i = 0; i < list.n_objects; i++)
            must(list.objects[i].key != NULL && list.objects[i].size_bytes >= 0);
        must(!list.is_truncated || list.next != NULL);
    } else {
        must(err.text[0] != '\0');
    }
    if (s3_xml_upload_id(body, n, id, &err) == 0)
        must(id[0] != '\0');
    if (s3_xml_encryption(body, n, &encryption, &err) == 0)
        must(strlen(encryption.algorithm) < sizeof(encryption.algorithm));
    return 0;
}
