/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start, and whether glusterd is there: told by its answers, whoever has asked, and by a connection
 * that ends with it.
 */
#include <config.h>

#include "gluster/gluster.h"

#include <inttypes.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/backend.h"
#include "agent/base/child.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "gluster/command.h"
#include "gluster/gluster-internal.h"
#include "gluster/peer.h"

#define STUCK_MS 30000
/* A count of heals may take a minute, and glusterd's own limit is two. */
#define SLOW_STUCK_MS 130000
/* 0.5, 1, 2, ... 32 s: as long as its connection lasts, it may still begin to answer. */
#define DOUBT_FIRST_MS 500
#define DOUBTS_MAX 7

struct gluster *
gluster_new(void)
{
    return xalloc(sizeof(struct gluster));
}

/* ---- its version ---- */

struct version_job {
    struct job job;
    struct gluster *gluster;
    char *version; /* owned, or NULL */
};

static void
ask_version(struct job *job)
{
    static const char *const argv[] = { "gluster", "--version", NULL };
    static const struct child_limits limits = { .timeout_ms = 10000, .output_size = 65536 };
    struct version_job *version = CONTAINER_OF(job, struct version_job, job);
    _cleanup_(error_freep) struct error *error = NULL;
    _cleanup_text_ struct text output = TEXT_INIT;

    /* "glusterfs 10.3\n...": no XML, whatever it is told */
    if (child_run(argv, -1, &limits, &output, &error) &&
        strncmp(output.bytes, "glusterfs ", 10) == 0)
        version->version = xstrndup(output.bytes + 10, strcspn(output.bytes + 10, " \n"));
}

static void
have_version(struct job *job)
{
    struct version_job *version = CONTAINER_OF(job, struct version_job, job);
    struct gluster *gluster = version->gluster;

    if (version->version) {
        free(gluster->version);
        gluster->version = version->version;
        backend_set_version(gluster->agent, "gluster", gluster->version);
    }
    free(version);
}

/* Anew each time glusterd comes: it may have been upgraded. */
static void
find_version(struct gluster *gluster)
{
    _cleanup_(error_freep) struct error *error = NULL;
    struct version_job *version = xalloc(sizeof(*version));

    version->gluster = gluster;
    version->job = (struct job){ .run = ask_version,
                                 .finished = have_version,
                                 .lane = &gluster->questions,
                                 .pool = POOL_GLUSTER };
    if (!workers_submit(gluster->agent->workers, &version->job, &error))
        free(version);
}

/* ---- whether it is there ---- */

static void
tell(struct gluster *gluster, bool available, const char *reason)
{
    backend_set(gluster->agent, "gluster", available, gluster->version, reason);
    gluster_watch_alive(&gluster->watch, available);
}

/* As its connection has told, which is known for sure. */
static bool
has_ended(const struct gluster *gluster)
{
    return gluster->was_linked && !gluster_link_alive(&gluster->link);
}

static void
answered(void *context, const struct gluster_question *question, const char *subject,
         const struct gluster_items *before, const struct gluster_items *now)
{
    struct gluster *gluster = context;

    (void)question;
    (void)subject;
    (void)before;
    (void)now;
    /* What it said before it ended may come after. */
    if (has_ended(gluster))
        gluster_link_try(&gluster->link);
    if (has_ended(gluster))
        return;
    gluster->doubts = 0;
    tell(gluster, true, NULL);
}

/* A glusterd that has just come takes connections some seconds before it answers. */
static void
ask_again(struct timer *timer)
{
    gluster_ask(CONTAINER_OF(timer, struct gluster, again), &peer_question, NULL);
}

static void
failed(void *context, const struct gluster_question *question, const struct error *error)
{
    struct gluster *gluster = context;

    (void)question;
    if (error->code != ERROR_BACKEND_UNAVAILABLE || has_ended(gluster))
        return;
    tell(gluster, false, error->message);
    if (gluster_link_alive(&gluster->link) && gluster->doubts < DOUBTS_MAX)
        timer_arm(gluster->agent->loop, &gluster->again, DOUBT_FIRST_MS << gluster->doubts++);
}

static void
link_changed(void *context, bool alive)
{
    struct gluster *gluster = context;

    gluster_forget(gluster);
    gluster->doubts = 0;
    if (!alive) {
        timer_disarm(gluster->agent->loop, &gluster->again);
        tell(gluster, false, "glusterd has ended: its socket is closed");
        return;
    }
    gluster->was_linked = true;
    gluster_hints_look(&gluster->hints);
    find_version(gluster);
    gluster_ask(gluster, &peer_question, NULL);
}

static void
hinted(void *context, unsigned hints)
{
    struct gluster *gluster = context;

    if (hints & HINT_SERVER)
        gluster_link_try(&gluster->link);
    gluster_watch_hint(&gluster->watch, hints & HINT_ALL);
}

static void
write_figures(void *context, struct text *text)
{
    uint64_t asked, given;

    LOOP_ONLY();
    gluster_question_counts(context, &asked, &given);
    text_printf(text,
                "# HELP hostler_gluster_questions_total Questions asked of glusterd.\n"
                "# TYPE hostler_gluster_questions_total counter\n"
                "hostler_gluster_questions_total %" PRIu64 "\n"
                "# HELP hostler_gluster_answers_total Answers given from what glusterd said.\n"
                "# TYPE hostler_gluster_answers_total counter\n"
                "hostler_gluster_answers_total %" PRIu64 "\n",
                asked, given);
}

static void
write_facts(void *context, struct writer *writer)
{
    const struct gluster *gluster = context;

    LOOP_ONLY();
    writer_object(writer);
    writer_member_string(writer, "version", gluster->version);
    writer_end_object(writer);
}

void
gluster_open(struct gluster *gluster, struct agent *agent)
{
    LOOP_ONLY();
    gluster->agent = agent;
    /* glusterd itself is away for ten seconds while a rebalance begins: that is no time to be Busy. */
    gluster->questions = (struct lane){ .name = "gluster", .limit = 1, .stuck_ms = STUCK_MS };
    gluster->slow_questions =
        (struct lane){ .name = "gluster", .limit = 1, .stuck_ms = SLOW_STUCK_MS };
    gluster->availability =
        (struct gluster_watcher){ .answered = answered, .failed = failed, .context = gluster };
    gluster->figures = (struct gauges){ .write = write_figures, .context = gluster };
    gauges_register(agent, &gluster->figures);
    gluster->facts = (struct facts){
        .of = FACTS_CAPABILITIES, .name = "gluster", .write = write_facts, .context = gluster
    };
    facts_register(agent, &gluster->facts);
    xml_prepare();
    gluster_watch(gluster, &gluster->availability);
    if (strcmp(agent->config->gluster, "none") == 0)
        gluster_command_refuse("switched off by --gluster none");
    backend_set(agent, "gluster", false, NULL, "not asked yet");
    gluster_watch_open(&gluster->watch, gluster);
    gluster_ask(gluster, &peer_question, NULL);
    if (strcmp(agent->config->gluster, "none") == 0)
        return;
    find_version(gluster);
    gluster->again.fire = ask_again;
    gluster->hints = (struct gluster_hints){ .told = hinted, .context = gluster, .agent = agent };
    gluster_hints_open(&gluster->hints);
    gluster->link = (struct gluster_link){ .changed = link_changed,
                                           .context = gluster,
                                           .path = GLUSTERD_SOCKET };
    gluster_link_open(&gluster->link, agent->loop);
}
