/* The ids of jobs whose rows in the ledger were cut before their time, because the ledger was too
 * long: for each 16 bytes of a SHA-256, so that a message which comes again after a million others
 * is still known. Nothing else of those jobs is. */
#include <string.h>

#include "base/sha256.h"
#include "base/str.h"
#include "journal/sqlite_internal.h"

#define DIGEST_SIZE 16
#define N_SLICES 256 /* of the memory, by the first byte of the digest */

static const char *const kinds[] = {
    [REMEMBER_INSTANCE] = "instance", [REMEMBER_MESSAGE] = "message"};

static struct db_arg digest_of(enum remember_kind kind, const char *id,
                               unsigned char digest[SHA256_SIZE])
{
    struct sha256 s;

    sha256_init(&s);
    sha256_add(&s, kinds[kind], strlen(kinds[kind]) + 1);
    sha256_add(&s, id, strlen(id));
    sha256_end(&s, digest);
    return DB_B((const char *)digest, DIGEST_SIZE);
}

static int remember(struct sqlite_journal *sj, enum remember_kind kind, const char *id, int64_t n,
                    struct err *err)
{
    unsigned char digest[SHA256_SIZE];

    if (id[0] == '\0')
        return 0;
    return db_run(&sj->db, SQL_REMEMBER, DB_ARGS(digest_of(kind, id, digest), DB_I(n)), NULL, err);
}

int remember_ids(struct sqlite_journal *sj, const char *instance_id, const char *message_id,
                 int64_t n, struct err *err)
{
    int r = remember(sj, REMEMBER_INSTANCE, instance_id, n, err);

    return r == 0 ? remember(sj, REMEMBER_MESSAGE, message_id, n, err) : r;
}

int remember_find(struct sqlite_journal *sj, enum remember_kind kind, const char *id,
                  int64_t *ret_n, struct err *err)
{
    unsigned char digest[SHA256_SIZE];

    return db_number(&sj->db, SQL_REMEMBERED, DB_ARGS(digest_of(kind, id, digest)), 0, ret_n, err);
}

int remember_forget(struct sqlite_journal *sj, int64_t upto, struct err *err)
{
    const unsigned slice = sj->next_slice++ % N_SLICES;
    const char from[] = {(char)slice}; /* one byte sorts before the longer ones that it begins */
    char to[DIGEST_SIZE + 1] = {(char)(slice + 1)};
    struct db_arg args[] = {DB_B(from, 1), DB_B(to, 1), DB_I(upto)};
    int64_t n_old = 0;
    int r;

    if (slice == N_SLICES - 1) { /* no digest is longer */
        memset(to, 0xff, sizeof(to));
        args[1].len = sizeof(to);
    }
    r = db_number(&sj->db, SQL_COUNT_REMEMBERED, args, ARRAY_LEN(args), 0, &n_old, err);
    if (r < 0 || n_old == 0)
        return r;
    r = sqlite_touch(sj, err);
    return r == 0 ? db_run(&sj->db, SQL_FORGET_REMEMBERED, args, ARRAY_LEN(args), NULL, err) : r;
}
