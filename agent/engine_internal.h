/* Inside of the engine: jobs, the queue of items, and what its files ask of each other. */
#ifndef SSMD_AGENT_ENGINE_INTERNAL_H
#define SSMD_AGENT_ENGINE_INTERNAL_H

#include "agent/cleanup.h"
#include "agent/courier.h"
#include "agent/engine.h"
#include "agent/lookup.h"
#include "agent/machines.h"
#include "base/backoff.h"
#include "base/log.h"
#include "executors/reboot.h"
#include "executors/steps.h"
#include "fsm/command.h"
#include "fsm/delivery.h"
#include "schema/document.h"
#include "schema/message.h"

#define ENGINE_MAX_LINKS 4
#define ENGINE_CONTROL_CHANNEL "ssmmessages"
#define ENGINE_LOCAL_CHANNEL "local"   /* jobs that ssmctl asked for */
#define ENGINE_NESTED_CHANNEL "nested" /* jobs that a step of another one made */
#define ENGINE_BUCKETS 4096
#define ENGINE_MAX_SENDING 32 /* answers on their way at once */
#define ENGINE_MAX_SET_ASIDE 64
#define ENGINE_MAX_WAITING 256 /* messages that wait for values at once; wait_find() walks them */
#define ENGINE_MAX_HELD 16     /* cancels that wait for one of them */
#define ENGINE_LAZY_MS 2000    /* what may wait for the next commit waits no longer */
#define ENGINE_LOOK_MS 60000   /* what ran out while nobody looked has so long to tell its end */
#define ENGINE_LATE_MS 60000   /* a start so long after its promise has its time anew */
#define ENGINE_ROOM_MS 5000    /* while the disk is too full for new work: between looks */
#define ENGINE_REVIVE_FIRST_MS 200 /* tries to write the journal again: soon, then less often */
#define ENGINE_REVIVE_CAP_MS 5000

/* A document with what its message said about it; made again from the journaled payload when
 * needed. */
struct task {
    struct send_payload payload;
    struct document *document; /* owned */
};

/* Answers of a job that go out in order. */
struct lane {
    int64_t sent_upto; /* effects up to this id were taken; their closing may wait for a commit */
    struct backoff backoff;
    int64_t retry_at_us; /* monotonic */
};

/* One open instance. */
struct job {
    struct fsm_instance inst;
    const struct machine_ops *ops; /* static; what is done for its machine; never NULL */
    char *message_id;              /* owned; never NULL */
    struct task *task;             /* owned; NULL when not at hand */
    const char *refusal; /* borrowed, in the turn that refuses it: all of what is wrong with it */
    struct job *bucket_next;
    struct job *next, *prev; /* all jobs, oldest first */
    bool is_ended;           /* terminal; freed when the turn is over */
    bool has_moved;          /* an upload, in this turn: its command's answers may wait no longer */
    bool has_held_spawn;   /* its start waits: for a reboot that is pending, or to be tried again */
    bool has_unasked_stop; /* its runner could not be told to stop yet */
    bool has_held_report;  /* a nested document's output could not be gathered yet */
    unsigned n_gather_tries; /* by this process */
    int64_t start_effect;    /* the spawn that n_start_tries counts for */
    unsigned n_start_tries;  /* by this process */
    int64_t overdue_ms;      /* the deadline whose event is in the queue, or was */
    int64_t unmade_effect; /* the open spawn whose directory could not be made yet, or 0 (room.c) */
    /* sending (outbox.c) */
    struct lane lanes[2];
    bool is_sending, is_waiting;
    struct job *wait_next;
    struct update_watch *update; /* owned (update_internal.h); of an update, or NULL */
};

/* Something that happened, to be applied within the turn's transaction. */
struct item {
    struct item *next;
    bool is_lazy; /* alone it does not cause a commit */
    int (*apply)(struct engine *e, struct item *item, struct err *err);
    /* Always called once, after the turn's commit (err NULL) or its failure, and frees the item. */
    void (*finish)(struct engine *e, struct item *item, const struct err *err);
};

/* The context of something under way outside the engine (an answer at a link, a question to the
 * service, work in the pool); head of the structs of who asked. What never answers (a link that was
 * closed) is freed with the engine. */
struct call {
    struct call *next, *prev;
    void (*done)(struct call *c); /* before it is freed; may be NULL */
};

static inline bool job_is_command(const struct job *job)
{
    return job->inst.machine == &command_machine;
}

struct performance {
    struct job *job;
    struct fsm_effect effect;
};

/* A job that makes every turn fail. */
struct aside {
    char job_id[FSM_ID_SIZE];
    unsigned n_failures;
    int64_t due_boottime_ms; /* of the next try; INT64_MAX: there is none */
    bool is_tried;           /* it takes part again */
};

struct engine {
    uv_loop_t *loop;
    struct journal *journal;
    const struct config *config;
    const struct paths *paths;
    const struct platform *platform;
    char boot_id[BOOT_ID_SIZE];
    void (*ended)(void *ctx, int64_t n_files);
    bool (*may_begin)(void *ctx, int64_t n_open, int64_t n_more);
    void *ctx;               /* of these two */
    struct cleanup *cleanup; /* owned; NULL until something is to be removed */
    struct courier *courier; /* borrowed; NULL: there is no service */
    struct lookup *lookup;   /* borrowed; NULL: there is no service */
    char share_file[PATH_MAX], share_profile[128]; /* "": none */
    struct steps *steps;
    bool is_noexec;         /* nothing can be executed below the jobs directory */
    const char *powershell; /* static; as found at the start */
    struct link *links[ENGINE_MAX_LINKS];
    size_t n_links;
    struct parameter_source *parameters; /* borrowed, or NULL */
    size_t n_waiting;
    struct message_item *waiting; /* messages whose documents need values (intake_wait.c) */
    uv_prepare_t prepare;
    uv_timer_t update_timer, clock_timer; /* updates: looks at open ones; Agent.SelfUpdate */
    struct update_check *check; /* a question that is being answered (update_check.c), or NULL */
    int64_t wished_boottime_ms; /* since when Agent.SelfUpdate is on in this life */
    pid_t updater_pid;          /* a child to be reaped, or 0 */
    uv_timer_t lazy_timer, deadline_timer, revive_timer, retry_timer, hold_timer, aside_timer;
    bool is_started, is_stopping, is_suspended;
    struct job *buckets[ENGINE_BUCKETS];
    struct job *first, *last;
    size_t n_jobs;
    struct item *head, **tail;
    size_t n_urgent; /* items in the queue that are not lazy */
    bool is_flush_due;
    bool is_short;       /* of disk: nothing new is taken on; what runs goes on */
    bool is_suspend_due; /* asked for in the middle of something; done before the next turn */
    struct err suspend_err;
    struct backoff revive;
    char culprit[FSM_ID_SIZE]; /* the job that is being dealt with in this turn, or "" */
    struct aside set_aside[ENGINE_MAX_SET_ASIDE];
    size_t n_set_aside;
    unsigned generation; /* counts loads: a call from before one says nothing about jobs after it */
    int64_t last_effect_id;
    struct fsm_out out;
    struct performance *todo; /* owned; effects of this turn */
    size_t n_todo, cap_todo;
    struct buf story; /* what this turn has to tell when it is committed (story.c) */
    size_t n_untold;  /* what it had no room for */
    /* outbox */
    struct job *wait_first, *wait_last;
    size_t n_sending, n_again;
    bool is_way_closed;          /* an answer failed, and none was taken since */
    struct reboot *reboot;       /* the request that this process has made, or NULL */
    struct call *calls;          /* under way */
    struct engine_status status; /* the parts that are kept, not counted */
};

/* jobs.c */
struct job *engine_find_job(const struct engine *e, const char *job_id);
/* Takes inst's contents over. NULL: out of memory. */
struct job *jobs_insert(struct engine *e, struct fsm_instance *inst, const char *message_id);
void jobs_free(struct engine *e, struct job *job);
/* A job that makes every turn fail is left alone for a while (aside.c), but for its runner, which
 * is watched; a message that cannot be journaled is failed when it comes again. False: it is there.
 */
bool jobs_set_aside(struct engine *e, const char *job_id);
bool jobs_is_set_aside(const struct engine *e, const char *job_id);
/* "set aside, and tried again in 9 min": for error texts. */
void aside_describe(const struct engine *e, const char *job_id, char *ret_text, size_t size);
void aside_try_due(struct engine *e); /* in a load, before its jobs are recovered */
void aside_arm(struct engine *e);     /* at the end of a load */
void aside_on_timer(uv_timer_t *timer);
/* Within the transaction: a new instance becomes a job. Takes over inst's contents. */
int engine_add_job(struct engine *e, struct fsm_instance *inst, const char *message_id,
                   struct job **ret_job, struct err *err) MUST_CHECK;
struct link *engine_link_named(const struct engine *e, const char *name);   /* NULL: none */
struct link *engine_link_of(const struct engine *e, const struct job *job); /* NULL: local */
const char *engine_channel_of(const struct job *job);

/* engine_life.c */
void engine_suspend(struct engine *e, const struct err *why); /* never in the middle of a turn */
/* The same, for no fault: everything is loaded again in a moment. */
void engine_reload(struct engine *e, const char *why);
/* Nothing new can be taken on now. ERR_STATE: why, after "<what>: ". */
int engine_check_open(const struct engine *e, const char *what, struct err *err) MUST_CHECK;
void engine_note_error(struct engine *e, const struct err *err); /* for `ssmctl status` */
void engine_arm_deadlines(struct engine *e);
void engine_on_deadline(uv_timer_t *timer);

/* engine.c */
void engine_turn(struct engine *e);
/* What follows on the commit, which returned r; `done` are the items of the turn. */
void engine_end_turn(struct engine *e, struct item *done, int r, const struct err *err);
void engine_on_prepare(uv_prepare_t *prepare);
void engine_on_lazy(uv_timer_t *timer);
void engine_perform(struct engine *e, struct job *job, const struct fsm_effect *fx,
                    bool is_restart);
struct item *engine_pop(struct engine *e);
void engine_queue(struct engine *e, struct item *item);
void engine_set_deadline(const struct engine *e, struct fsm_instance *inst, int64_t after_ms);
/* Make an event for a job and queue it. `text` becomes its detail (copied) when not NULL. */
void engine_queue_event(struct engine *e, const char *job_id, uint8_t kind, int64_t effect_id,
                        bool is_lazy, const char *text);
/* The deadline of this job is over. The event is dropped if it is another one's turn by then. */
void engine_queue_overdue(struct engine *e, struct job *job, uint8_t kind);
/* Within the transaction: let the machine decide, journal it, remember the effects. */
int engine_deliver(struct engine *e, struct job *job, const struct fsm_event *ev, struct err *err)
    MUST_CHECK;
struct fsm_event engine_event(const struct engine *e, uint8_t kind, int64_t effect_id,
                              const void *detail);
/* Memory ran out where an event was to be kept: drop everything and load again, at the next safe
 * moment. */
void engine_ask_suspend(struct engine *e, const struct err *why);

/* story.c: the log's lines about what a turn changed wait for its commit */
void story_init(struct engine *e);
void story_add(struct engine *e, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void story_tell(struct engine *e); /* it is committed */
void story_drop(struct engine *e); /* it has not happened */

/* intake.c */
int intake_queue(struct engine *e, const struct engine_message *m, engine_accepted_fn done,
                 void *ctx, struct err *err) MUST_CHECK;
/* The command id inside, or, where that is not a UUID, a name made from the message id's hash. */
void intake_job_id(const char *message_id, char ret_job_id[FSM_ID_SIZE]);

/* A document that a step of `parent` runs, as a job of its own: its message, its instance, its
 * acceptance, within the transaction. Takes `task` over. */
struct nested_command {
    const struct job *parent;
    int64_t unit, attempt;
    const char *name;    /* of the document */
    const cJSON *values; /* what its references were resolved with, or NULL */
};
int intake_add_nested(struct engine *e, const struct nested_command *n, const char *payload,
                      struct task *task, struct err *err) MUST_CHECK;
/* Before it: ERR_LIMIT when it has more steps than a job can have. */
int intake_check_nested(const struct task *task, struct err *err) MUST_CHECK;

/* A delivered message on its way into the journal. */
struct message_item {
    struct item item;
    struct engine *engine;   /* borrowed; set while it waits */
    struct engine_message m; /* into `text` */
    engine_accepted_fn done;
    void *ctx;
    char job_id[FSM_ID_SIZE];
    enum journal_known known;
    bool is_set_aside;
    bool is_dropped; /* the same message is waited for already */
    /* A document that needs values of Parameter Store waits for them before it is accepted: nothing
     * is journaled or acknowledged until then. */
    struct document_references references; /* owned; n > 0: they are to be fetched */
    struct parameter_fetch *fetch;         /* under way */
    cJSON *values;                         /* owned; what was fetched */
    struct err failure;                    /* code not 0: why there are no values */
    struct err not_taken;                  /* code not 0: why nothing was journaled of it */
    struct message_item *wait_next, *wait_prev;
    struct message_item *held;     /* cancels of this command: judged after it; owned */
    struct message_item *hold_for; /* this one is such a cancel; within one turn */
    char text[];
};

void intake_free_message(struct message_item *it);

/* intake_wait.c */
/* From the turn on that found references, the message is known. After that turn its values are
 * fetched, and the item is queued again. */
void wait_enter(struct engine *e, struct message_item *it);
void wait_begin(struct engine *e, struct message_item *it);
void wait_leave(struct engine *e, struct message_item *it); /* when that turn failed */
struct message_item *wait_find(const struct engine *e, const char *job_id); /* or NULL */
/* Judge `cancel` right after the message that is waited for. Takes it over; one that is held
 * already, or one too many, is not taken. */
void wait_hold(struct engine *e, struct message_item *it, struct message_item *cancel);
/* Nothing of it was accepted: the service offers it again. */
void wait_cancel_all(struct engine *e);

/* broken.c: negative controls */
#ifdef SSMD_BREAK_ACKNOWLEDGE_BEFORE_COMMIT
void broken_acknowledge_early(struct engine *e, const struct engine_message *m, const char *job_id,
                              struct item *item);
#endif
#ifdef SSMD_BREAK_REPLY_BEFORE_RESULT
bool broken_reply_early(struct engine *e, struct item *done); /* false: nothing ends in this turn */
bool broken_is_in_turn(void);
#endif

/* task.c */
#define TASK_VALUES "parameters" /* name of the attachment: schema/parameter_store.h's text */
/* `values` (NULL: none) answer the document's {{ssm:...}} references. When one is asked for that
 * they do not have, the call fails and *ret_references (may be NULL; else the caller owns it) names
 * all of them. */
#define TASK_WARNINGS "warnings" /* attachment: lines */
struct task_flags {
    bool is_nested, is_strict;
};
static inline struct task_flags task_flags(const struct engine *e, bool is_nested)
{
    return (struct task_flags){is_nested, e->config->strict_documents};
}
int task_new(const char *payload, size_t n, struct task_flags flags, cJSON *values,
             struct task **ret_task, struct document_references *ret_references, struct buf *trace,
             struct err *err) MUST_CHECK;
void task_free(struct task *t);
/* Make sure that job->task is there. */
int task_load(struct engine *e, struct job *job, struct err *err) MUST_CHECK;
/* The document's unit that child `i` stands for, or NULL (a step that does not run). */
const struct document_unit *task_unit(const struct task *t, const struct fsm_instance *inst,
                                      size_t i);
DEFINE_AUTO(struct task *, task_free)

/* What a step without a runner ended as; stored in command_unit.outcome beside the runner's own
 * words. */
#define STEP_OUTCOME_INVALID_INPUT "invalid_input"
#define STEP_OUTCOME_NOT_STARTED "not_started"
#define STEP_OUTCOME_ASKED "asked" /* done by asking the service; what it says stands in stdout */
#define STEP_OUTCOME_UPDATED "updated"           /* an update of this agent, whatever came of it */
#define STEP_OUTCOME_NOT_PREPARED "not_prepared" /* why stands in its stderr, and in its text */

/* uploads.c: output on its way to S3 and the logs */
/* After a command's transition, in its transaction: its units [lo, hi) changed. */
int uploads_follow(struct engine *e, struct job *job, size_t lo, size_t hi, struct err *err)
    MUST_CHECK;
/* After an upload's own: what only an open one needs goes. */
int uploads_tidy(struct engine *e, const struct job *upload, struct err *err) MUST_CHECK;
void uploads_perform(struct engine *e, struct job *upload);
/* An answer of a command waits for an upload. */
bool uploads_hold(const struct engine *e, const struct job *job, const struct fsm_effect *fx);
/* After the commit of an upload's move. */
void uploads_moved(struct engine *e, const struct job *upload);

/* steps_fx.c: the effects that concern a step, and the reboot */
void fx_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx);
void fx_stop(struct engine *e, struct job *job, const struct fsm_effect *fx);
void fx_reboot(struct engine *e, struct job *job, const struct fsm_effect *fx, bool is_restart);
void fx_step_ended(struct engine *e, struct job *job, const struct step_key *key,
                   enum step_answer answer, const struct step_outcome *outcome);
/* A step that ends without a runner; a result of "Failed" has code 1. `out` is what its stdout
 * holds, or NULL. */
void fx_end_step(struct engine *e, const struct job *job, const struct fsm_effect *fx,
                 const char *status, const char *outcome, const char *text, const struct buf *out);
/* A restart's question: what became of it? */
void fx_probe_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx);
/* A reboot has one owner on the node: no starts while one is awaited (architecture, section 9.6).
 */
bool fx_is_reboot_pending(const struct engine *e);
/* Start what was held, when nothing stands against it any more; ask again what could not be asked.
 */
void fx_release_held(struct engine *e);
void fx_hold_timer(uv_timer_t *timer);
/* What has_held_spawn, has_unasked_stop and has_held_report stand for is done again in a while. */
void fx_try_again_later(struct engine *e);
/* Within the transaction in which a command began or ceased to wait for a reboot: the journal knows
 * whose it is, the first one's, as long as one is awaited in this boot. */
int fx_keep_reboot_intent(struct engine *e, struct err *err) MUST_CHECK;
/* What is kept of each of a step's output files. */
uint64_t fx_output_cap(const struct engine *e, const struct job *job);

/* room.c: a step's directory is made before its start is promised */
/* Within the transaction that promises a start. Where there is no room for the directory, that is
 * journaled instead. ERR_x: the journal's. */
int room_prepare(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
    MUST_CHECK;
/* Within a transaction, when effects were closed: the journal forgets what no start needs now. */
int room_tidy(struct engine *e, struct job *job, struct err *err) MUST_CHECK;
/* After a load: is the directory of this open spawn one that could not be made? */
int room_load(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
    MUST_CHECK;
/* Make the directory now; its start follows when the journal knows. */
int room_make(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
    MUST_CHECK;

/* download.c: steps that download */
bool download_is_unit(const struct job *job, const struct document_unit *unit);
/* As steps_start(). */
int download_start(struct engine *e, const struct job *job, const struct step_key *key,
                   const struct document_unit *unit, struct err *err) MUST_CHECK;

/* nest.c, nest_output.c: steps that run another document */
void nest_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx,
                const struct document_unit *unit);
void nest_stop(struct engine *e, struct job *job, const struct fsm_effect *fx);
/* False while a step above is being stopped: its order is on its way to this job. */
bool nest_may_start(const struct engine *e, const struct job *job);
/* In place of the terminal reply: gather the output, then end it and its parent's step. */
void nest_report(struct engine *e, struct job *child, const struct fsm_effect *fx);

/* refresh.c: aws:refreshAssociation */
void refresh_spawn(struct engine *e, struct job *job, const struct fsm_effect *fx,
                   const struct document_unit *unit);

/* replies.c */
/* What is said of a unit beside its output, or in place of it: `note` stands for all of it, `error`
 * follows its stderr. Its job's task is at hand. */
void replies_add_words(const struct job *job, size_t i, struct buf *note, struct buf *error);
/* Build the payload of a reply effect and put it into the outbox, within the transaction. */
int replies_put(struct engine *e, struct job *job, const struct fsm_effect *fx, struct err *err)
    MUST_CHECK;
int replies_build_receipt(struct engine *e, const char *channel, struct buf *ret_payload,
                          struct err *err) MUST_CHECK;

/* outbox.c */
bool outbox_is_answer(const struct job *job, uint8_t kind); /* an effect that goes to the service */
void outbox_kick(struct engine *e,
                 struct job *job); /* send the next answer of this job, if there is one */
void outbox_forget(struct engine *e, struct job *job); /* it is about to be freed */
/* A message that is known already: acknowledge again, send the stored terminal reply again if there
 * is one. */
void outbox_answer_again(struct engine *e, const char *channel, const char *message_id,
                         const char *job_id, enum journal_known known, bool is_unhandled);
void outbox_retry_timer(uv_timer_t *timer);

/* calls.c */
/* The head of a struct of `size` bytes, all zero; NULL: out of memory. */
void *calls_new(struct engine *e, size_t size);
void calls_free(struct engine *e, struct call *c);
void calls_free_all(struct engine *e);

#endif
