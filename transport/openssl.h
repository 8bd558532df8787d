/* OpenSSL's headers, included in one place: its types.h has a type named ERR_STATE, which is also
 * one of our error codes. Their type is renamed while its headers are read; nothing uses it. */
#ifndef SSMD_TRANSPORT_OPENSSL_H
#define SSMD_TRANSPORT_OPENSSL_H

#define ERR_STATE OPENSSL_ERR_STATE_
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#undef ERR_STATE

#endif
