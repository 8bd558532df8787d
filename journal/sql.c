/* The texts of the fixed statements. */
#include "journal/sql_internal.h"

#define INSTANCE                                                                                   \
    "SELECT seq, id, machine, version, state, n_transitions, head, created_unix_ms, "              \
    "updated_unix_ms, ended_unix_ms, deadline_boot_id, deadline_boottime_ms, deadline_after_ms "   \
    "FROM instance "
#define REPLY                                                                                      \
    "SELECT effect_id, reply_id, message_id, kind, created_unix_ms, ended_unix_ms, outcome, "      \
    "text, length(payload), payload FROM outbox "
#define MESSAGE                                                                                    \
    "SELECT message_id, instance_id, channel, topic, destination, created_date, "                  \
    "received_unix_ms, payload_sha256, length(payload)"
#define LEDGER                                                                                     \
    "SELECT n, id, machine, message_id, state, status, created_unix_ms, ended_unix_ms, "           \
    "n_transitions, head, prev, hash FROM ledger "

/* An instance that is over and has nothing to do for anybody. */
#define SETTLED                                                                                    \
    "instance.ended_unix_ms IS NOT NULL AND "                                                      \
    "NOT EXISTS (SELECT 1 FROM outbox "                                                            \
    "WHERE instance_id = instance.id AND outbox.ended_unix_ms IS NULL) " /* Its output is still on \
                                                                            its way: fsm/upload.h. \
                                                                            '.' and '/' are        \
                                                                            neighbours. */         \
    "AND NOT EXISTS (SELECT 1 FROM instance AS upload WHERE "                                      \
    "upload.ended_unix_ms IS NULL AND upload.id > 'upload.' || instance.id || "                    \
    "'.' AND upload.id < 'upload.' || instance.id || '/') "
#define IS_PART                                                                                    \
    "EXISTS (SELECT 1 FROM instance AS whole WHERE substr(instance.id, 1, 1) = 'n' AND "           \
    "whole.id = substr(instance.id, instr(instance.id, '-') + 1)) "

const struct db_sql journal_sql[SQL_N] = {
    [SQL_BEGIN] = {"begin", "BEGIN IMMEDIATE"},
    [SQL_COMMIT] = {"commit", "COMMIT"},
    [SQL_ROLLBACK] = {"roll back", "ROLLBACK"},

    [SQL_PUT_MESSAGE] = {"write message",
                         "INSERT INTO inbox(message_id, instance_id, channel, topic, destination, "
                         "created_date, received_unix_ms, payload, payload_sha256) "
                         "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"},
    [SQL_PUT_INSTANCE] = {"write instance",
                          "INSERT INTO instance(id, machine, version, state, n_transitions, head, "
                          "created_unix_ms, updated_unix_ms, ended_unix_ms, deadline_boot_id, "
                          "deadline_boottime_ms, deadline_after_ms) "
                          "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL, ?9, ?10, ?11)"},
    [SQL_MOVE_INSTANCE] = {"write instance",
                           "UPDATE instance SET version = ?2, state = ?3, n_transitions = ?4, "
                           "head = ?5, updated_unix_ms = ?6, ended_unix_ms = ?7, "
                           "deadline_boot_id = ?8, deadline_boottime_ms = ?9, "
                           "deadline_after_ms = ?10 WHERE id = ?1 AND n_transitions = ?4 - 1 AND "
                           "head = ?11 AND ended_unix_ms IS NULL"},
    [SQL_PUT_TRANSITION] = {"write transition",
                            "INSERT INTO transition(instance_id, n, at_unix_ms, event, from_state, "
                            "to_state, detail, state_sha256, prev, hash) "
                            "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"},
    [SQL_OPEN_EFFECT] = {"write effect",
                         "INSERT INTO effect(id, instance_id, kind, arg, arg2, opened_unix_ms) "
                         "VALUES(?1, ?2, ?3, ?4, ?5, ?6)"},
    [SQL_CLOSE_EFFECT] = {"close effect", "UPDATE effect SET closed_unix_ms = ?2 "
                                          "WHERE id = ?1 AND closed_unix_ms IS NULL"},
    [SQL_SUPERSEDE_REPLY] = {"end reply",
                             "UPDATE outbox SET ended_unix_ms = ?2, outcome = 'superseded' "
                             "WHERE effect_id = ?1 AND ended_unix_ms IS NULL"},
    [SQL_PUT_REPLY] = {"write reply",
                       "INSERT INTO outbox(effect_id, instance_id, reply_id, message_id, kind, "
                       "payload, created_unix_ms) "
                       "SELECT ?1, instance_id, ?2, ?3, ?4, ?5, ?6 FROM effect WHERE id = ?1"},
    [SQL_END_REPLY] =
        {"end reply", "UPDATE outbox SET ended_unix_ms = ?2, outcome = ?3, text = ?4 "
                      "WHERE effect_id = ?1 AND (ended_unix_ms IS NULL OR outcome = 'superseded')"},
    [SQL_PUT_LEDGER] = {"write ledger",
                        "INSERT INTO ledger(n, id, machine, message_id, state, status, "
                        "created_unix_ms, ended_unix_ms, n_transitions, head, prev, hash) "
                        "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"},
    [SQL_PUT_FACT] = {"write fact", "INSERT INTO fact(key, value) VALUES(?1, ?2) "
                                    "ON CONFLICT(key) DO UPDATE SET value = excluded.value"},
    [SQL_PUT_ATTACHMENT] = {"write attachment",
                            "INSERT INTO attachment(instance_id, name, content) "
                            "VALUES(?1, ?2, ?3)"},
    [SQL_DROP_FACT] = {"remove fact", "DELETE FROM fact WHERE key = ?1"},
    [SQL_PUT_META] = {"write meta", "INSERT INTO meta(key, value) VALUES(?1, ?2) "
                                    "ON CONFLICT(key) DO UPDATE SET value = excluded.value"},

    [SQL_GET_META] = {"read meta", "SELECT value FROM meta WHERE key = ?1"},
    [SQL_OPEN_INSTANCES] = {"read open instances",
                            INSTANCE "WHERE ended_unix_ms IS NULL ORDER BY seq"},
    [SQL_INSTANCE] = {"read instance", INSTANCE "WHERE id = ?1"},
    [SQL_OPEN_EFFECTS] = {"read effects", "SELECT id, kind, arg, arg2 FROM effect "
                                          "WHERE instance_id = ?1 AND closed_unix_ms IS NULL "
                                          "ORDER BY id"},
    [SQL_N_OPEN_EFFECTS] = {"count open effects", "SELECT count(*) FROM effect WHERE "
                                                  "instance_id = ?1 AND closed_unix_ms IS NULL"},
    [SQL_INSTANCE_IS_ENDED] = {"look for instance",
                               "SELECT ended_unix_ms IS NOT NULL FROM instance WHERE id = ?1"},
    [SQL_MESSAGE_INSTANCE] = {"look for message",
                              "SELECT i.ended_unix_ms IS NOT NULL FROM inbox AS m "
                              "JOIN instance AS i ON i.id = m.instance_id WHERE m.message_id = ?1"},
    [SQL_IN_LEDGER] = {"look into ledger", "SELECT n FROM ledger WHERE id = ?1"},
    [SQL_MESSAGE_IN_LEDGER] = {"look into ledger", "SELECT n FROM ledger WHERE message_id = ?1 "
                                                   "AND message_id <> '' LIMIT 1"},
    [SQL_PAYLOAD] = {"read message", "SELECT payload FROM inbox WHERE instance_id = ?1"},
    [SQL_MESSAGE_ID] = {"read message id", "SELECT message_id FROM inbox WHERE instance_id = ?1"},
    [SQL_REPLY] = {"read reply", REPLY "WHERE effect_id = ?1"},
    [SQL_FINAL_REPLY] = {"read reply", REPLY "WHERE instance_id = ?1 AND kind = 'final' "
                                             "ORDER BY effect_id DESC LIMIT 1"},
    [SQL_FACT] = {"read fact", "SELECT value FROM fact WHERE key = ?1"},
    [SQL_ATTACHMENT] = {"read attachment",
                        "SELECT content FROM attachment WHERE instance_id = ?1 AND name = ?2"},
    [SQL_LAST_EFFECT] = {"read effects", "SELECT max(id) FROM effect"},
    [SQL_COUNT_INSTANCES] = {"count", "SELECT count(*) FROM instance"},
    [SQL_COUNT_ENDED] = {"count", "SELECT count(*) FROM instance WHERE ended_unix_ms IS NOT NULL"},
    [SQL_COUNT_OPEN_INSTANCES] = {"count",
                                  "SELECT count(*) FROM instance WHERE ended_unix_ms IS NULL "
                                  "AND machine <> 'registration'"},
    [SQL_COUNT_UNREPORTED] = {"count", "SELECT count(DISTINCT instance_id) FROM outbox "
                                       "WHERE ended_unix_ms IS NULL"},
    /* Its numbers have no gaps, and counting a million rows takes a while. */
    [SQL_COUNT_LEDGER] = {"count", "SELECT (SELECT max(n) FROM ledger) - "
                                   "(SELECT min(n) FROM ledger) + 1"},
    [SQL_COUNT_OPEN_EFFECTS] = {"count",
                                "SELECT count(*) FROM effect WHERE closed_unix_ms IS NULL"},
    [SQL_LEDGER_FIRST] = {"read ledger", "SELECT min(n) FROM ledger"},
    [SQL_LEDGER_LAST] = {"read ledger", LEDGER "ORDER BY n DESC LIMIT 1"},
    [SQL_CHECKPOINT] = {"read checkpoint",
                        "SELECT n, hash FROM checkpoint ORDER BY n DESC LIMIT 1"},
    [SQL_ALIAS] = {"read alias", "SELECT new FROM alias WHERE machine = ?1 AND what = ?2 AND "
                                 "old = ?3"},

    [SQL_FIRST_KEPT] = {"look for the oldest instance",
                        "SELECT n FROM ledger WHERE n >= ?1 AND EXISTS (SELECT 1 FROM instance "
                        "WHERE instance.id = ledger.id) ORDER BY n LIMIT 1"},
    /* In the ledger's order, from the oldest row whose instance is here; a nested document not
     * before what it is part of. */
    [SQL_PRUNABLE] = {"look for old instances",
                      "SELECT instance.id FROM ledger CROSS JOIN instance ON "
                      "instance.id = ledger.id WHERE ledger.n >= ?3 AND ledger.n <= ?1 AND " SETTLED
                      "AND NOT " IS_PART "ORDER BY ledger.n LIMIT ?2"},
    [SQL_SETTLED] = {"look for instance",
                     "SELECT ledger.n FROM ledger JOIN instance ON instance.id = ledger.id "
                     "WHERE ledger.id = ?1 AND " SETTLED},
    [SQL_FORGET] = {"remove instance", "DELETE FROM instance WHERE id = ?1"},
    [SQL_LEDGER_OLDEST] = {"read ledger", "SELECT n, hash, EXISTS (SELECT 1 "
                                          "FROM instance WHERE instance.id = ledger.id), id, "
                                          "message_id FROM ledger ORDER BY n LIMIT ?1"},
    [SQL_LEDGER_CUT] = {"cut ledger", "DELETE FROM ledger WHERE n <= ?1"},
    [SQL_PUT_CHECKPOINT] = {"write checkpoint", "INSERT INTO checkpoint(n, hash, at_unix_ms) "
                                                "VALUES(?1, ?2, ?3)"},
    [SQL_DROP_CHECKPOINTS] = {"remove checkpoint", "DELETE FROM checkpoint WHERE n < ?1"},
    [SQL_REMEMBERED] = {"look for an id", "SELECT n FROM remembered WHERE digest = ?1"},
    [SQL_REMEMBER] = {"remember an id", "INSERT INTO remembered(digest, n) VALUES(?1, ?2) "
                                        "ON CONFLICT(digest) DO UPDATE SET n = max(n, excluded.n)"},
    [SQL_COUNT_REMEMBERED] = {"look for old ids", "SELECT count(*) FROM remembered WHERE "
                                                  "digest >= ?1 AND digest < ?2 AND n <= ?3"},
    [SQL_FORGET_REMEMBERED] = {"forget old ids", "DELETE FROM remembered WHERE "
                                                 "digest >= ?1 AND digest < ?2 AND n <= ?3"},

    [SQL_LIST] = {"list instances", INSTANCE
                  "WHERE seq < ?1 AND (?2 = '' OR machine = ?2) AND (?3 = '' OR state = ?3) "
                  "AND (?4 = 0 OR (ended_unix_ms IS NULL) = (?4 = 1)) AND "
                  "created_unix_ms >= ?5 ORDER BY seq DESC"},
    [SQL_BY_PREFIX] = {"look for instance",
                       INSTANCE "WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id = ?1 DESC, id "
                                "LIMIT 2"},
    [SQL_TRANSITIONS] = {"read transitions",
                         "SELECT seq, n, at_unix_ms, event, from_state, to_state, detail, "
                         "state_sha256, prev, hash FROM transition WHERE instance_id = ?1 "
                         "ORDER BY n"},
    [SQL_EFFECTS] = {"read effects", "SELECT id, kind, arg, arg2, opened_unix_ms, closed_unix_ms "
                                     "FROM effect WHERE instance_id = ?1 ORDER BY id"},
    [SQL_REPLIES] = {"read replies", REPLY "WHERE instance_id = ?1 ORDER BY effect_id"},
    [SQL_MESSAGE] = {"read message", MESSAGE ", payload FROM inbox WHERE instance_id = ?1"},
    [SQL_FACTS] = {"read facts", "SELECT key, value FROM fact ORDER BY key"},
    [SQL_HAS_ATTACHMENTS] = {"look for attachments",
                             "SELECT 1 FROM sqlite_schema WHERE name = 'attachment'"},
    [SQL_ATTACHMENTS] = {"read attachments",
                         "SELECT name, length(content), content "
                         "FROM attachment WHERE instance_id = ?1 ORDER BY name"},
    [SQL_LEDGER] = {"read ledger", LEDGER "WHERE n > ?1 ORDER BY n"},
    [SQL_LEDGER_OF] = {"read ledger", LEDGER "WHERE id = ?1"},
    [SQL_ALL_INBOX] = {"read messages",
                       MESSAGE " FROM inbox ORDER BY received_unix_ms, message_id"},
    [SQL_MACHINE] = {"read machine", "SELECT version, child FROM machine WHERE name = ?1"},
    [SQL_AUDIT_INSTANCES] = {"read instances", INSTANCE "WHERE seq > ?1 ORDER BY seq LIMIT ?2"},
    [SQL_SEQUENCE] = {"read sequence", "SELECT seq FROM sqlite_sequence WHERE name = 'instance'"},
    [SQL_COUNT_LEDGER_ONLY] = {"count", "SELECT count(*) FROM ledger WHERE NOT EXISTS (SELECT 1 "
                                        "FROM instance WHERE instance.id = ledger.id)"},
    /* In a place where it belongs: behind a row of the same instance. */
    [SQL_HASH_OF_ANOTHER] = {"look for transition",
                             "SELECT count(*) FROM transition AS t WHERE hash = ?1 AND "
                             "instance_id <> ?2 AND (n = 0 OR EXISTS (SELECT 1 FROM transition "
                             "AS p WHERE p.instance_id = t.instance_id AND p.hash = t.prev))"},
};
