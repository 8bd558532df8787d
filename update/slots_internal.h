/* Inside of slots: opening what must be ours. */
#ifndef SSMD_UPDATE_SLOTS_INTERNAL_H
#define SSMD_UPDATE_SLOTS_INTERNAL_H

#include <stdbool.h>
#include <sys/stat.h>

#include "update/slots.h"

#define SLOTS_SEAL "sealed" /* record kind and file name */

/* Whoever else owned it, or may write there, could change what is run as us. */
static inline bool slots_is_ours(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && (st->st_mode & 022) == 0;
}

#endif
