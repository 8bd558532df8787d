/* A self-signed certificate for loopback. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ERR_STATE OPENSSL_ERR_STATE_ /* OpenSSL has a type of that name, base/err.h a code */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "base/fs.h"
#include "base/ids.h"
#include "hub/tls.h"

#define VALID_DAYS 3650

DEFINE_AUTO(EVP_PKEY *, EVP_PKEY_free)
DEFINE_AUTO(X509 *, X509_free)
DEFINE_AUTO(BIO *, BIO_free)

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX ctx;
    int is_added;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (extension == NULL)
        return false;
    is_added = X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return is_added == 1;
}

/* Good from a day before now, for clients whose clock is behind. */
static bool fill(X509 *cert, EVP_PKEY *key, time_t now)
{
    unsigned char serial[8];
    ASN1_INTEGER *number = X509_get_serialNumber(cert);
    X509_NAME *name = X509_get_subject_name(cert);
    uint64_t value;

    ids_random(serial, sizeof(serial));
    memcpy(&value, serial, sizeof(value));
    return X509_set_version(cert, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(number, value >> 1) == 1 &&
           X509_time_adj_ex(X509_getm_notBefore(cert), -1, 0, &now) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), VALID_DAYS, 0, &now) != NULL &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)"ssmhub on this machine", -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(cert, name) == 1 &&
           add_extension(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, NID_subject_key_identifier, "hash") &&
           add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1,IP:::1,DNS:localhost") &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

static int write_pem(int dirfd, const char *name, BIO *bio, struct err *err)
{
    char *bytes;
    long n = BIO_get_mem_data(bio, &bytes);

    return fs_write_atomic(dirfd, name, bytes, (size_t)n, 0600, true, err);
}

static int make(int dirfd, int64_t now_ms, struct err *err)
{
    AUTO(EVP_PKEY_free) EVP_PKEY *key = EVP_EC_gen("P-256");
    AUTO(X509_free) X509 *cert = X509_new();
    AUTO(BIO_free) BIO *cert_pem = BIO_new(BIO_s_mem());
    AUTO(BIO_free) BIO *key_pem = BIO_new(BIO_s_secmem());
    int r;

    if (key == NULL || cert == NULL || cert_pem == NULL || key_pem == NULL ||
        !fill(cert, key, (time_t)(now_ms / 1000)) || PEM_write_bio_X509(cert_pem, cert) != 1 ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1)
        return err_set(err, ERR_SYSTEM, "make a certificate: OpenSSL refused");
    r = write_pem(dirfd, TLS_KEY_FILE, key_pem, err);
    return r < 0 ? r : write_pem(dirfd, TLS_CERT_FILE, cert_pem, err);
}

int tls_read_or_make(int dirfd, int64_t now_ms, struct buf *ret_cert, struct buf *ret_key,
                     struct err *err)
{
    int r = 0;

    if (faccessat(dirfd, TLS_CERT_FILE, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        r = make(dirfd, now_ms, err);
    if (r == 0)
        r = fs_read_file(dirfd, TLS_CERT_FILE, ret_cert, err);
    if (r == 0)
        r = fs_read_file(dirfd, TLS_KEY_FILE, ret_key, err);
    return r;
}
