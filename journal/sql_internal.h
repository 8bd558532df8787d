/* Every fixed statement of the journal, writer's and reader's, under a name. The statements of the
 * machines' own tables are made from their field tables (tables.c). */
#ifndef SSMD_JOURNAL_SQL_INTERNAL_H
#define SSMD_JOURNAL_SQL_INTERNAL_H

#include "journal/db_internal.h"

enum sql_id {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    /* writing */
    SQL_PUT_MESSAGE,
    SQL_PUT_INSTANCE,
    SQL_MOVE_INSTANCE,
    SQL_PUT_TRANSITION,
    SQL_OPEN_EFFECT,
    SQL_CLOSE_EFFECT,
    SQL_SUPERSEDE_REPLY,
    SQL_PUT_REPLY,
    SQL_END_REPLY,
    SQL_PUT_LEDGER,
    SQL_PUT_FACT,
    SQL_PUT_ATTACHMENT,
    SQL_DROP_FACT,
    SQL_PUT_META,
    /* looking */
    SQL_GET_META,
    SQL_OPEN_INSTANCES,
    SQL_INSTANCE,
    SQL_OPEN_EFFECTS,
    SQL_N_OPEN_EFFECTS,
    SQL_INSTANCE_IS_ENDED,
    SQL_MESSAGE_INSTANCE,
    SQL_IN_LEDGER,
    SQL_MESSAGE_IN_LEDGER,
    SQL_PAYLOAD,
    SQL_MESSAGE_ID,
    SQL_REPLY,
    SQL_FINAL_REPLY,
    SQL_FACT,
    SQL_ATTACHMENT,
    SQL_LAST_EFFECT,
    SQL_COUNT_INSTANCES,
    SQL_COUNT_WORK,
    SQL_COUNT_OPEN_INSTANCES,
    SQL_COUNT_UNREPORTED,
    SQL_COUNT_LEDGER,
    SQL_COUNT_OPEN_EFFECTS,
    SQL_LEDGER_LAST,
    SQL_CHECKPOINT,
    SQL_ALIAS,
    /* retention */
    SQL_PRUNABLE,
    SQL_FORGET,
    SQL_LEDGER_OLDEST,
    SQL_LEDGER_CUT,
    SQL_PUT_CHECKPOINT,
    SQL_DROP_CHECKPOINTS,
    /* the reading half */
    SQL_LIST,
    SQL_BY_PREFIX,
    SQL_TRANSITIONS,
    SQL_EFFECTS,
    SQL_REPLIES,
    SQL_MESSAGE,
    SQL_FACTS,
    SQL_HAS_ATTACHMENTS,
    SQL_ATTACHMENTS,
    SQL_LEDGER,
    SQL_LEDGER_OF,
    SQL_ALL_INBOX,
    SQL_MACHINE,
    SQL_AUDIT_INSTANCES,
    SQL_SEQUENCE,
    SQL_COUNT_LEDGER_ONLY,
    SQL_HASH_OF_ANOTHER,
    SQL_N
};

extern const struct db_sql journal_sql[SQL_N];

/* The columns of every statement that reads instances, in this order. */
enum {
    INSTANCE_SEQ,
    INSTANCE_ID,
    INSTANCE_MACHINE,
    INSTANCE_VERSION,
    INSTANCE_STATE,
    INSTANCE_N_TRANSITIONS,
    INSTANCE_HEAD,
    INSTANCE_CREATED,
    INSTANCE_UPDATED,
    INSTANCE_ENDED,
    INSTANCE_DEADLINE_BOOT_ID,
    INSTANCE_DEADLINE_BOOTTIME,
    INSTANCE_DEADLINE_AFTER,
};

/* ... and of every one that reads replies. */
enum {
    REPLY_EFFECT_ID,
    REPLY_ID,
    REPLY_MESSAGE_ID,
    REPLY_KIND,
    REPLY_CREATED,
    REPLY_ENDED,
    REPLY_OUTCOME,
    REPLY_TEXT,
    REPLY_SIZE,
    REPLY_PAYLOAD,
};

/* ... and of those that read messages; SQL_ALL_INBOX is without the payload. */
enum {
    MESSAGE_ID,
    MESSAGE_INSTANCE_ID,
    MESSAGE_CHANNEL,
    MESSAGE_TOPIC,
    MESSAGE_DESTINATION,
    MESSAGE_CREATED_DATE,
    MESSAGE_RECEIVED,
    MESSAGE_SHA256,
    MESSAGE_SIZE,
    MESSAGE_PAYLOAD,
};

/* ... and of every one that reads the ledger. */
enum {
    LEDGER_N,
    LEDGER_ID,
    LEDGER_MACHINE,
    LEDGER_MESSAGE_ID,
    LEDGER_STATE,
    LEDGER_STATUS,
    LEDGER_CREATED,
    LEDGER_ENDED,
    LEDGER_N_TRANSITIONS,
    LEDGER_HEAD,
    LEDGER_PREV,
    LEDGER_HASH,
};

#endif
