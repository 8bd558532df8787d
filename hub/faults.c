/* Rules for failures on request. */
#include "hub/faults.h"

#include <string.h>

#include "base/str.h"
#include "hub/json_out.h"

static const char *const kinds[] = {
    [FAULT_ERROR] = "error",     [FAULT_FORGET] = "forget", [FAULT_LOSE] = "lose",
    [FAULT_RESET] = "reset",     [FAULT_DELAY] = "delay",   [FAULT_DUPLICATE] = "duplicate",
    [FAULT_REORDER] = "reorder",
};

bool faults_take(struct faults *f, const char *operation, unsigned kinds_wanted,
                 struct fault_rule *ret_rule)
{
    size_t i;

    for (i = 0; i < f->n_rules; i++) {
        struct fault_rule *rule = &f->rules[i];

        if ((kinds_wanted & BIT(rule->kind)) == 0 ||
            !(rule->operation[0] == '\0' || str_eq(rule->operation, "*") ||
              str_eq(rule->operation, operation)))
            continue;
        *ret_rule = *rule;
        if (--rule->times <= 0) {
            f->n_rules--;
            memmove(rule, rule + 1, (f->n_rules - i) * sizeof(*rule));
        }
        return true;
    }
    return false;
}

static int number(const cJSON *json, const char *name, int64_t min, int64_t max, int64_t otherwise,
                  int64_t *ret_value, struct err *err)
{
    int64_t value = otherwise;
    int r = json_get_i64(json, "fault", name, &value, err);

    if (r < 0)
        return r;
    if (json_get(json, name) == NULL)
        value = otherwise;
    if (value < min || value > max)
        return err_set(err, ERR_INVALID, "fault.%s must be from %lld to %lld", name, (long long)min,
                       (long long)max);
    *ret_value = value;
    return 0;
}

int faults_add(struct faults *f, const cJSON *json, struct err *err)
{
    struct fault_rule rule = {.kind = FAULT_KIND_END_};
    const char *kind = NULL, *operation = NULL, *code = NULL;
    int64_t status = 0;
    size_t i;
    int r;

    r = json_want_object(json, "fault", err);
    if (r == 0)
        r = json_get_string(json, "fault", "kind", 32, &kind, err);
    if (r == 0)
        r = json_get_string(json, "fault", "operation", sizeof(rule.operation) - 1, &operation,
                            err);
    if (r == 0)
        r = json_get_string(json, "fault", "code", sizeof(rule.code) - 1, &code, err);
    if (r == 0)
        r = number(json, "times", 1, INT32_MAX, 1, &rule.times, err);
    if (r == 0)
        r = number(json, "delay_ms", 0, 600000, 1000, &rule.delay_ms, err);
    if (r == 0)
        r = number(json, "copies", 2, 100, 2, &rule.copies, err);
    if (r == 0)
        r = number(json, "status", 400, 599, 500, &status, err);
    if (r < 0)
        return r;
    for (i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(kind, kinds[i]))
            rule.kind = (enum fault_kind)i;
    if (rule.kind == FAULT_KIND_END_)
        return err_set(err, ERR_INVALID,
                       "fault.kind must be error, forget, lose, reset, delay, duplicate or "
                       "reorder, not \"%s\"",
                       kind != NULL ? kind : "");
    if (f->n_rules == FAULTS_MAX_RULES)
        return err_set(err, ERR_LIMIT, "fault: %d rules wait already", FAULTS_MAX_RULES);
    rule.status = (unsigned)status;
    (void)str_copy(rule.operation, sizeof(rule.operation), operation != NULL ? operation : "");
    (void)str_copy(rule.code, sizeof(rule.code), code != NULL ? code : "InternalServerError");
    f->rules[f->n_rules++] = rule;
    return 0;
}

void faults_clear(struct faults *f)
{
    f->n_rules = 0;
}

void faults_write(const struct faults *f, struct buf *out, const char *key)
{
    size_t i;

    out_list(out, key);
    for (i = 0; i < f->n_rules; i++) {
        const struct fault_rule *rule = &f->rules[i];

        out_object(out, NULL);
        out_str(out, "kind", kinds[rule->kind]);
        out_str(out, "operation", rule->operation[0] != '\0' ? rule->operation : "*");
        out_num(out, "times", rule->times);
        out_object_end(out);
    }
    out_list_end(out);
}
