/* SHA-256 as FIPS 180-4 describes it, one block at a time. */
#include "base/sha256.h"

#include <string.h>

#include "base/str.h"

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void add_block(struct sha256 *s, const unsigned char *p)
{
    uint32_t w[64], a = s->h[0], b = s->h[1], c = s->h[2], d = s->h[3], e = s->h[4], f = s->h[5],
                    g = s->h[6], h = s->h[7];
    size_t t;

    for (t = 0; t < 16; t++)
        w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 |
               (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
    for (; t < 64; t++) {
        uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;

        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    for (t = 0; t < 64; t++) {
        uint32_t t1 =
            h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + k[t] + w[t];
        uint32_t t2 =
            (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    s->h[0] += a;
    s->h[1] += b;
    s->h[2] += c;
    s->h[3] += d;
    s->h[4] += e;
    s->h[5] += f;
    s->h[6] += g;
    s->h[7] += h;
}

void sha256_init(struct sha256 *s)
{
    *s = (struct sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                               0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t held = s->n_bytes % 64;

    s->n_bytes += n;
    if (held > 0) {
        size_t take = n < 64 - held ? n : 64 - held;

        memcpy(s->block + held, p, take);
        p += take;
        n -= take;
        if (held + take < 64)
            return;
        add_block(s, s->block);
    }
    for (; n >= 64; p += 64, n -= 64)
        add_block(s, p);
    if (n > 0)
        memcpy(s->block, p, n);
}

void sha256_end(struct sha256 *s, unsigned char ret_digest[SHA256_SIZE])
{
    uint64_t n_bits = s->n_bytes * 8;
    size_t held = s->n_bytes % 64;
    unsigned i;

    s->block[held++] = 0x80;
    if (held > 56) {
        memset(s->block + held, 0, 64 - held);
        add_block(s, s->block);
        held = 0;
    }
    memset(s->block + held, 0, 56 - held);
    for (i = 0; i < 8; i++)
        s->block[56 + i] = (unsigned char)(n_bits >> (56 - 8 * i));
    add_block(s, s->block);
    for (i = 0; i < 32; i++)
        ret_digest[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_end_hex(struct sha256 *s, char ret_hex[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_SIZE];

    sha256_end(s, digest);
    str_hex(digest, sizeof(digest), ret_hex);
}

void sha256_hex_of(const void *bytes, size_t n, char ret_hex[SHA256_HEX_SIZE])
{
    struct sha256 s;

    sha256_init(&s);
    sha256_add(&s, bytes, n);
    sha256_end_hex(&s, ret_hex);
}

void sha256_hmac(const void *key, size_t key_len, const void *text, size_t n,
                 unsigned char ret_mac[SHA256_SIZE])
{
    unsigned char pad[64] = {0};
    struct sha256 s;
    size_t i;

    sha256_init(&s);
    if (key_len > sizeof(pad)) {
        sha256_add(&s, key, key_len);
        sha256_end(&s, pad);
        sha256_init(&s);
    } else if (key_len > 0) {
        memcpy(pad, key, key_len);
    }
    for (i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36;
    sha256_add(&s, pad, sizeof(pad));
    sha256_add(&s, text, n);
    sha256_end(&s, ret_mac);

    for (i = 0; i < sizeof(pad); i++)
        pad[i] ^= 0x36 ^ 0x5c;
    sha256_init(&s);
    sha256_add(&s, pad, sizeof(pad));
    sha256_add(&s, ret_mac, SHA256_SIZE);
    sha256_end(&s, ret_mac);
    explicit_bzero(pad, sizeof(pad));
    explicit_bzero(&s, sizeof(s));
}
