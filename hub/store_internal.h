/* What the store_*.c files share: the table of queries, prepared once, and typed arguments. */
#ifndef SSMD_HUB_STORE_INTERNAL_H
#define SSMD_HUB_STORE_INTERNAL_H

#include <sqlite3.h>
#include <stddef.h>

#include "hub/store.h"

#define DOCUMENT_COLUMNS_                                                                          \
    "SELECT d.name, d.version, d.version_name, d.format, d.type, d.content, d.json, d.sha256, "    \
    "d.created_ms, f.version, (SELECT max(version) FROM document l WHERE l.name = d.name) "        \
    "FROM document d JOIN document_default f ON f.name = d.name "
#define COMMAND_COLUMNS_                                                                           \
    "SELECT seq, id, document_name, document_version, comment, parameters, echo, s3_bucket, "      \
    "s3_prefix, s3_region, cloud_watch, requested_ms, timeout_s, expires_ms, steps, "              \
    "is_cancelled FROM command "
#define INVOCATION_COLUMNS_                                                                        \
    "SELECT seq, command_id, instance_id, message_id, trace, status, deliver_by_ms, expires_ms, "  \
    "ended_ms FROM invocation "
#define MESSAGE_COLUMNS_                                                                           \
    "SELECT seq, id, destination, topic, created, payload, command_id, state, visible_ms, "        \
    "deliver_by_ms, n_deliveries, first_delivery_ms FROM message "
#define ACTIVATION_COLUMNS_                                                                        \
    "SELECT seq, id, code_sha256, description, name, iam_role, max_nodes, n_nodes, expires_ms, "   \
    "created_ms, tags FROM activation "
#define NODE_COLUMNS_                                                                              \
    "SELECT id, public_key, fingerprint, activation_id, name, iam_role, registered_ms, "           \
    "is_rotation_wanted, n_tokens FROM node "
#define PARAMETER_COLUMNS_                                                                         \
    "SELECT p.name, p.version, p.type, p.value, p.description, p.pattern, p.key_id, p.data_type, " \
    "p.tier, p.modified_ms, (SELECT group_concat(label, ',') FROM (SELECT label FROM "             \
    "parameter_label l WHERE l.name = p.name AND l.version = p.version ORDER BY label)) "          \
    "FROM parameter p "
/* An invocation that was never acknowledged is a matter of delivery. */
#define EXPIRED_                                                                                   \
    "(status = 'Pending' AND deliver_by_ms <= ?1) OR (ended_ms = 0 AND expires_ms <= ?1)"

#define QUERIES(X)                                                                                 \
    X(Q_LOG_GROUP_ADD, "INSERT INTO log_group VALUES (?1,?2,?3)")                                  \
    X(Q_LOG_GROUP_DELETE, "DELETE FROM log_group WHERE name = ?1")                                 \
    X(Q_LOG_GROUP_EVENTS_DELETE, "DELETE FROM log_event WHERE log_stream IN (SELECT seq "          \
                                 "FROM log_stream WHERE log_group = ?1)")                          \
    X(Q_LOG_GROUP_STREAMS_DELETE, "DELETE FROM log_stream WHERE log_group = ?1")                   \
    X(Q_LOG_GROUPS, "SELECT name, created_ms, kms_key_id FROM log_group "                          \
                    "WHERE name > ?1 AND substr(name, 1, length(?2)) = ?2 ORDER BY name")          \
    X(Q_LOG_STREAM_ADD, "INSERT INTO log_stream VALUES (NULL,?1,?2,?3)")                           \
    X(Q_LOG_STREAMS, "SELECT seq, name, created_ms, (SELECT max(ingested_ms) FROM log_event e "    \
                     "WHERE e.log_stream = s.seq) FROM log_stream s WHERE log_group = ?1 "         \
                     "AND name > ?2 AND substr(name, 1, length(?3)) = ?3 ORDER BY name")           \
    X(Q_LOG_EVENT_ADD, "INSERT INTO log_event VALUES (NULL,?1,?2,?3,?4)")                          \
    X(Q_LOG_EVENTS, "SELECT seq, at_ms, ingested_ms, message FROM log_event "                      \
                    "WHERE log_stream = ?1 AND seq > ?2 ORDER BY seq")                             \
    X(Q_LOG_EVENTS_BEFORE, "SELECT seq, at_ms, ingested_ms, message FROM (SELECT * FROM "          \
                           "log_event WHERE log_stream = ?1 AND seq < ?2 ORDER BY seq DESC "       \
                           "LIMIT ?3) ORDER BY seq")                                               \
    X(Q_LOG_EVENTS_OF_GROUP,                                                                       \
      "SELECT e.seq, at_ms, ingested_ms, message, s.name FROM log_event e JOIN log_stream s "      \
      "ON e.log_stream = s.seq WHERE s.log_group = ?1 AND substr(s.name, 1, length(?2)) = ?2 "     \
      "AND e.seq > ?3 ORDER BY e.seq")                                                             \
    X(Q_ACTIVATION_ADD, "INSERT INTO activation VALUES (NULL,?1,?2,?3,?4,?5,?6,0,?7,?8,?9)")       \
    X(Q_ACTIVATIONS, ACTIVATION_COLUMNS_ "WHERE seq < ?1 ORDER BY seq DESC")                       \
    X(Q_ACTIVATION_FIND, ACTIVATION_COLUMNS_ "WHERE id = ?1")                                      \
    X(Q_ACTIVATION_USE, "UPDATE activation SET n_nodes = n_nodes + 1 WHERE id = ?1")               \
    X(Q_ACTIVATION_DELETE, "DELETE FROM activation WHERE id = ?1")                                 \
    X(Q_NODE_ADD, "INSERT INTO node VALUES (?1,?2,?3,?4,?5,?6,?7,0,0)")                            \
    X(Q_NODES, NODE_COLUMNS_ "ORDER BY registered_ms, id")                                         \
    X(Q_NODE_FIND, NODE_COLUMNS_ "WHERE id = ?1")                                                  \
    X(Q_NODE_SET_KEY, "UPDATE node SET public_key = ?2, is_rotation_wanted = 0 WHERE id = ?1")     \
    X(Q_NODE_WANT_ROTATION, "UPDATE node SET is_rotation_wanted = 1 WHERE id = ?1")                \
    X(Q_NODE_COUNT_TOKEN, "UPDATE node SET n_tokens = n_tokens + 1 WHERE id = ?1")                 \
    X(Q_NODE_DELETE, "DELETE FROM node WHERE id = ?1")                                             \
    X(Q_INSTANCE_DELETE, "DELETE FROM instance WHERE id = ?1")                                     \
    X(Q_ROLE_KEY_ADD, "INSERT INTO role_key VALUES (?1,?2,?3,?4,?5)")                              \
    X(Q_ROLE_KEY_FIND, "SELECT secret, token, node_id, expires_ms FROM role_key "                  \
                       "WHERE access_key = ?1")                                                    \
    X(Q_ROLE_KEYS_FORGET, "DELETE FROM role_key WHERE node_id = ?1 OR expires_ms < ?2")            \
    X(Q_BEGIN, "BEGIN IMMEDIATE")                                                                  \
    X(Q_COMMIT, "COMMIT")                                                                          \
    X(Q_ROLLBACK, "ROLLBACK")                                                                      \
    X(Q_DOCUMENT_ADD, "INSERT INTO document VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")                  \
    X(Q_DOCUMENT_SET_DEFAULT, "INSERT OR REPLACE INTO document_default VALUES (?1,?2)")            \
    X(Q_DOCUMENT_DELETE, "DELETE FROM document WHERE name = ?1 AND (?2 = 0 OR version = ?2)")      \
    X(Q_DOCUMENT_FORGET_DEFAULT, "DELETE FROM document_default WHERE name = ?1 "                   \
                                 "AND NOT EXISTS (SELECT 1 FROM document WHERE name = ?1)")        \
    X(Q_DOCUMENT_VERSIONS, DOCUMENT_COLUMNS_ "WHERE d.name = ?1 ORDER BY d.version")               \
    X(Q_DOCUMENTS,                                                                                 \
      DOCUMENT_COLUMNS_ "WHERE d.name > ?1 AND d.version = f.version ORDER BY d.name")             \
    X(Q_INSTANCE_PUT,                                                                              \
      "INSERT INTO instance VALUES (?1, coalesce(?2, '{}'), ?3, ?4) ON CONFLICT (id) DO UPDATE "   \
      "SET info = coalesce(?2, info), last_ping_ms = max(last_ping_ms, ?4)")                       \
    X(Q_INSTANCES, "SELECT * FROM instance WHERE id > ?1 ORDER BY id")                             \
    X(Q_INSTANCE_FIND, "SELECT * FROM instance WHERE id = ?1")                                     \
    X(Q_COMMAND_ADD,                                                                               \
      "INSERT INTO command VALUES (NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,0)")        \
    X(Q_COMMAND_SET_CANCELLED, "UPDATE command SET is_cancelled = 1 WHERE id = ?1")                \
    X(Q_COMMANDS, COMMAND_COLUMNS_ "WHERE seq < ?1 ORDER BY seq DESC")                             \
    X(Q_COMMANDS_IN_ORDER, COMMAND_COLUMNS_ "ORDER BY seq")                                        \
    X(Q_COMMAND_FIND, COMMAND_COLUMNS_ "WHERE id = ?2 AND seq < ?1")                               \
    X(Q_COMMAND_COUNTS,                                                                            \
      "SELECT status, count(*) FROM invocation WHERE command_id = ?1 GROUP BY status")             \
    X(Q_INVOCATION_ADD, "INSERT INTO invocation VALUES (NULL,?1,?2,?3,'',?4,?5,?6,0)")             \
    X(Q_INVOCATIONS,                                                                               \
      INVOCATION_COLUMNS_ "WHERE seq < ?1 AND (?2 IS NULL OR instance_id = ?2) ORDER BY seq DESC") \
    X(Q_INVOCATIONS_OF_COMMAND, INVOCATION_COLUMNS_ "WHERE command_id = ?3 AND seq < ?1 AND "      \
                                                    "(?2 IS NULL OR instance_id = ?2) "            \
                                                    "ORDER BY seq DESC")                           \
    X(Q_INVOCATION_OF_MESSAGE, INVOCATION_COLUMNS_ "WHERE message_id = ?1")                        \
    X(Q_INVOCATION_MOVE,                                                                           \
      "UPDATE invocation SET status = ?2, trace = coalesce(?3, trace), ended_ms = ?4 "             \
      "WHERE seq = ?1 AND ended_ms = 0")                                                           \
    X(Q_EXPIRE_MESSAGES, "UPDATE message SET state = 'expired' WHERE state = 'queued' AND id IN "  \
                         "(SELECT message_id FROM invocation WHERE " EXPIRED_ ")")                 \
    X(Q_EXPIRE_INVOCATIONS,                                                                        \
      "UPDATE invocation SET ended_ms = ?1, status = CASE status WHEN 'Pending' THEN "             \
      "'DeliveryTimedOut' ELSE 'ExecutionTimedOut' END WHERE " EXPIRED_)                           \
    X(Q_NEXT_EXPIRY, "SELECT min(CASE status WHEN 'Pending' THEN min(deliver_by_ms, expires_ms) "  \
                     "ELSE expires_ms END) FROM invocation WHERE ended_ms = 0")                    \
    X(Q_STEP_PUT,                                                                                  \
      "INSERT INTO step VALUES (NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14) "             \
      "ON CONFLICT (command_id, instance_id, name) DO UPDATE SET plugin = ?4, status = ?5, "       \
      "code = ?6, output = ?7, standard_output = ?8, standard_error = ?9, start_at = ?10, "        \
      "end_at = ?11, s3_bucket = ?12, s3_prefix = ?13, step_name = ?14 "                           \
      "WHERE status NOT IN ('Success', 'Failed', 'TimedOut', 'Cancelled', 'Skipped')")             \
    X(Q_STEPS, "SELECT name, plugin, status, code, output, standard_output, standard_error, "      \
               "start_at, end_at, s3_bucket, s3_prefix, step_name FROM step "                      \
               "WHERE command_id = ?1 AND instance_id = ?2 ORDER BY seq")                          \
    X(Q_MESSAGE_ADD, "INSERT INTO message VALUES (NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,0,0)")           \
    X(Q_MESSAGES_DUE,                                                                              \
      MESSAGE_COLUMNS_ "WHERE destination = ?1 AND state = 'queued' AND visible_ms <= ?2 "         \
                       "AND deliver_by_ms > ?2 ORDER BY seq")                                      \
    X(Q_MESSAGES_DUE_NEWEST_FIRST,                                                                 \
      MESSAGE_COLUMNS_ "WHERE destination = ?1 AND state = 'queued' AND visible_ms <= ?2 "         \
                       "AND deliver_by_ms > ?2 ORDER BY seq DESC")                                 \
    X(Q_MESSAGES, MESSAGE_COLUMNS_ "ORDER BY seq")                                                 \
    X(Q_MESSAGES_BY_ID, MESSAGE_COLUMNS_ "WHERE id = ?1 ORDER BY seq")                             \
    X(Q_MESSAGE_DELIVERED,                                                                         \
      "UPDATE message SET n_deliveries = n_deliveries + 1, visible_ms = ?3, first_delivery_ms = "  \
      "CASE first_delivery_ms WHEN 0 THEN ?2 ELSE first_delivery_ms END WHERE seq = ?1")           \
    X(Q_MESSAGE_END, "UPDATE message SET state = ?2 WHERE id = ?1 AND state = 'queued'")           \
    X(Q_MESSAGE_REQUEUE,                                                                           \
      "UPDATE message SET state = 'queued', visible_ms = ?2, deliver_by_ms = 1 << 60 "             \
      "WHERE id = ?1")                                                                             \
    X(Q_MESSAGES_RELEASE, "UPDATE message SET visible_ms = ?2 WHERE destination = ?1 "             \
                          "AND state = 'queued' AND visible_ms > ?2")                              \
    X(Q_MESSAGE_NEXT_VISIBLE,                                                                      \
      "SELECT min(visible_ms) FROM message WHERE destination = ?1 AND state = 'queued'")           \
    X(Q_PARAMETER_ADD, "INSERT INTO parameter VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")            \
    X(Q_PARAMETER_VERSIONS, PARAMETER_COLUMNS_ "WHERE p.name = ?1 ORDER BY p.version DESC")        \
    X(Q_PARAMETERS,                                                                                \
      PARAMETER_COLUMNS_ "WHERE p.name > ?1 AND p.version = (SELECT max(version) FROM parameter "  \
                         "q WHERE q.name = p.name) ORDER BY p.name")                               \
    X(Q_PARAMETER_DELETE, "DELETE FROM parameter WHERE name = ?1 AND (?2 = 0 OR version = ?2)")    \
    X(Q_PARAMETER_LABEL_PUT, "INSERT OR REPLACE INTO parameter_label VALUES (?1,?2,?3)")           \
    X(Q_PARAMETER_LABEL_DELETE,                                                                    \
      "DELETE FROM parameter_label WHERE name = ?1 AND (?2 IS NULL OR label = ?2)")                \
    X(Q_EVENT_ADD, "INSERT INTO event VALUES (NULL,?1,?2,?3,?4,?5,?6,?7,?8, ?4 <> '' AND "         \
                   "EXISTS (SELECT 1 FROM event WHERE message_id = ?2 AND reply_id = ?4))")        \
    X(Q_EVENTS, "SELECT * FROM event WHERE message_id = ?1 ORDER BY seq")                          \
    X(Q_COUNT_TERMINAL,                                                                            \
      "SELECT count(DISTINCT reply_id) FROM event WHERE message_id = ?1 AND is_terminal")

enum query {
#define QUERY_ENUM_(name, sql) name,
    QUERIES(QUERY_ENUM_)
#undef QUERY_ENUM_
        Q_END_
};

struct store {
    sqlite3 *db;                /* owned */
    sqlite3_stmt *stmt[Q_END_]; /* owned; prepared when first used */
};

struct sql_arg {
    const char *text; /* NULL with is_text: SQL NULL */
    int64_t num;
    bool is_text;
};

#define TEXT(s) ((struct sql_arg){.text = (s), .is_text = true})
#define NUM(n) ((struct sql_arg){.num = (n)})
#define ARGS(...)                                                                                  \
    (const struct sql_arg[]){__VA_ARGS__},                                                         \
        sizeof((const struct sql_arg[]){__VA_ARGS__}) / sizeof(struct sql_arg)
#define NO_ARGS NULL, 0

/* A statement that gives no rows. */
int store_run(struct store *s, enum query q, const struct sql_arg *args, size_t n_args,
              struct err *err) MUST_CHECK;
/* A statement that gives rows; a failure to begin shows at the first store_step. */
void store_query(struct store *s, enum query q, const struct sql_arg *args, size_t n_args,
                 struct cursor *ret_cursor);
int store_step(struct cursor *c, struct err *err) MUST_CHECK; /* 1: a row */

/* Columns of the present row; SQL NULL reads as "" and 0. */
const char *cursor_text(const struct cursor *c, int column);
int64_t cursor_num(const struct cursor *c, int column);

#endif
