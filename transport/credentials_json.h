/* Credentials as the services hand them out: documents of the instance and container metadata
 * services, and the role token of a managed node (spec 01, sections 2.2, 6.1 and 9). Pure. */
#ifndef SSMD_TRANSPORT_CREDENTIALS_JSON_H
#define SSMD_TRANSPORT_CREDENTIALS_JSON_H

#include <stdbool.h>

#include "transport/credentials.h"

#define CREDENTIALS_CODE_SIZE 64

/* {"Code","Message","AccessKeyId","SecretAccessKey","Token","Expiration"}; Code and Expiration are
 * not required. ERR_AUTH: its Code is not Success; *ret_code is it then, else "". ERR_PROTOCOL: it
 * is no such document. On success the caller owns *ret_credentials. */
int credentials_parse_document(const char *text, size_t n, struct credentials *ret_credentials,
                               char ret_code[CREDENTIALS_CODE_SIZE], struct err *err) MUST_CHECK;

/* The answer of RequestManagedInstanceRoleToken; `UpdateKeyPair` that is missing is false. */
int credentials_parse_role_token(const char *text, size_t n, struct credentials *ret_credentials,
                                 bool *ret_is_rotation_wanted, struct err *err) MUST_CHECK;

/* ASCII without blanks and control characters: what may stand in a header and in an INI file. */
bool credentials_is_clean(const char *value, size_t max_bytes);

#endif
