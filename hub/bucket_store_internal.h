/* What the files of the object store share. */
#ifndef SSMD_HUB_BUCKET_STORE_INTERNAL_H
#define SSMD_HUB_BUCKET_STORE_INTERNAL_H

#include "base/record.h"
#include "hub/bucket_store.h"

#define BUCKET_TMP ".incoming" /* no bucket's name begins with a dot */
#define BUCKET_INFO ".bucket"

struct bucket_store {
    int dir_fd, tmp_fd;
};

/* The directory of a bucket. ERR_NOT_FOUND; ERR_INVALID: no such name is possible. */
int bucket_dir(struct bucket_store *s, const char *bucket, int *ret_fd, struct err *err) MUST_CHECK;
int record_read_file(int dirfd, const char *name, const char *kind, struct record *ret_record,
                     struct err *err) MUST_CHECK;
/* `b` was begun and is ended here. */
int record_write_file(int dirfd, const char *name, struct buf *b, struct err *err) MUST_CHECK;

void object_info_write(struct buf *b, const struct object_info *info);
void object_info_read(const struct record *r, struct object_info *ret_info);

#endif
