/* Sentences that stand in replies. Users and tools know the reference's wording of some of them
 * from the console, so those are fixed; all are here, so that no other file makes one up. Appending
 * functions take any buffer; look at buf_error() afterwards. Any thread. Spec 04 sections 3,
 * 4, 6.6. */
#ifndef SSMD_SCHEMA_TEXTS_H
#define SSMD_SCHEMA_TEXTS_H

#include <stddef.h>

#include "base/buf.h"

/* Added to standardOutput and standardError of a step (with their leading newline), not to its
 * files nor to `output`. Exit code 168 adds to standardOutput only and empties standardError. */
#define TEXT_ON_FAILURE                                                                            \
    "\nStep was found to have onFailure property. Further document steps will be skipped."
#define TEXT_EXIT_168                                                                              \
    "\nStep exited with code 168: it counts as succeeded. Further document steps will be skipped."
#define TEXT_EXIT_169                                                                              \
    "\nStep exited with code 169: it counts as failed. Further document steps will be skipped."

/* The one of them for a step that ended its document; "" for any other code. */
const char *text_ending(int64_t code, bool is_on_failure);

/* `output` of a step that a step before it made skip. */
void text_skipped_by_flow(struct buf *b, const char *plugin_name, const char *step_id);

/* Appended to a failed script's own stderr, in the file too, without a newline before it. */
void text_exit_status(struct buf *b, int64_t exit_code);
void text_exit_signal(struct buf *b, int signal_number); /* "... signal: killed" */
void text_start_failed(struct buf *b, const char *reason);

/* Why a step fails or is skipped before it starts; each ends in ". Step name: <id>". `list` is what
 * precondition_evaluate() collected. */
void text_unknown_plugin(struct buf *b, const char *plugin_name, const char *step_id);
void text_unregistered_plugin(struct buf *b, const char *plugin_name, const char *step_id);
void text_unsupported_plugin(struct buf *b, const char *plugin_name, const char *step_id);
void text_unimplemented_plugin(struct buf *b, const char *plugin_name, const char *step_id);
void text_precondition_needs_22(struct buf *b, const char *schema_version, const char *step_id);
void text_precondition_unmet(struct buf *b, const char *list, const char *step_id);
void text_precondition_unclear(struct buf *b, const char *list, const char *step_id);
void text_no_inputs(struct buf *b, const char *step_id);

#endif
