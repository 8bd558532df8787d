/* Calls under way: what is told to links, lookups and the thread pool with a context of the
 * engine's. What never answers is freed with the engine. */
#include "agent/engine_internal.h"

#include <stdlib.h>

void *calls_new(struct engine *e, size_t size)
{
    struct call *c = calloc(1, size);

    if (c == NULL)
        return NULL;
    c->next = e->calls;
    if (c->next != NULL)
        c->next->prev = c;
    e->calls = c;
    return c;
}

void calls_free(struct engine *e, struct call *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        e->calls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    if (c->done != NULL)
        c->done(c);
    free(c); /* the head of its struct */
}

void calls_free_all(struct engine *e)
{
    while (e->calls != NULL)
        calls_free(e, e->calls);
}
