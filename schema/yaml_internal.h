/* What the files of the YAML reader share. */
#ifndef SSMD_SCHEMA_YAML_INTERNAL_H
#define SSMD_SCHEMA_YAML_INTERNAL_H

#include "schema/yaml.h"

/* yaml_scalar.c: what a scalar without quotes stands for. A number, boolean or null keeps its own
 * words in valuestring, so that who wants a text can have it. NULL: out of memory. */
cJSON *yaml_plain_scalar(const char *text);
/* As its tag says, or NULL and *ret_is_understood false: no such tag, or it does not fit. */
cJSON *yaml_tagged_scalar(const char *tag, const char *text, bool *ret_is_understood);

/* As yaml_parse(), with the words still in the tree. */
int yaml_parse_with_words(const char *bytes, size_t n, size_t max_bytes, const char *what,
                          cJSON **ret_root, struct err *err) MUST_CHECK;
/* Take the words away: from then on the tree is as one from JSON. */
void yaml_drop_words(cJSON *tree);

#endif
