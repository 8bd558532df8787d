/* Who this machine is to the service, and by what credentials (spec 01, section 1): finds out in
 * the order of the configuration, and goes on trying until it knows. The loop's thread.
 *
 *   OnPrem          the registration in our vault, or that of amazon-ssm-agent, taken over
 *   EC2             the instance metadata service
 *   ECS             the task metadata
 *   CustomIdentity  Identity.CustomIdentities of the configuration
 */
#ifndef SSMD_AGENT_NODE_H
#define SSMD_AGENT_NODE_H

#include "agent/registrar.h"
#include "transport/credentials.h"

struct node_finder;

struct node {
    const char *kind; /* as above; static */
    char instance_id[400];
    char region[101];
    char availability_zone[64], availability_zone_id[64], instance_type[64];
    /* Owned by the finder. */
    struct credentials_provider *credentials;
    /* The file that scripts get their credentials from, and its profile; "" when none is shared. */
    char share_file[PATH_MAX], share_profile[128];
};

struct node_finder_options {
    uv_loop_t *loop;
    const struct config *config; /* borrowed */
    const struct paths *paths;   /* borrowed */
    /* Borrowed; closed before the finder, whose client it uses. NULL: registrations are not looked
     * at. */
    struct registrar *registrar;
    const struct env_source *env; /* NULL: the process's; borrowed */
    bool is_once;                 /* one walk, then `found` or `failed`: for `doctor` */
    /* Once, from the loop or from inside node_finder_start(). `node` lives as long as the finder.
     */
    void (*found)(void *ctx, const struct node *node);
    void (*failed)(void *ctx);  /* with is_once; else may be NULL */
    void (*changed)(void *ctx); /* credentials came back after there were none; may be NULL */
    void *ctx;
};

int node_finder_new(const struct node_finder_options *o, struct node_finder **ret_finder,
                    struct err *err) MUST_CHECK;
void node_finder_start(struct node_finder *f);
/* Walk again now: a registration was made. */
void node_finder_wake(struct node_finder *f);
/* Ends what is under way; nothing that uses node->credentials may be left. The loop frees it. */
void node_finder_close(struct node_finder *f); /* NULL is allowed */

const struct node *node_finder_node(const struct node_finder *f); /* NULL: not known yet */
/* One line for each kind that was tried: its name, and what came of it. */
void node_finder_describe(const struct node_finder *f, struct buf *b);

/* By what the firmware says, without a network (spec 01, section 1.4). `root` is "" or a test's
 * directory. */
bool node_is_ec2_hardware(const char *root);

#endif
