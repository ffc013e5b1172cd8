/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start, and whether glusterd is there: told by its answers, whoever has asked.
 */
#include <config.h>

#include "gluster/gluster.h"

#include <inttypes.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/backend.h"
#include "agent/base/thread.h"
#include "agent/config.h"
#include "gluster/command.h"
#include "gluster/gluster-internal.h"
#include "gluster/peer.h"

struct gluster *
gluster_new(void)
{
    return xalloc(sizeof(struct gluster));
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
    backend_set(gluster->agent, "gluster", true, NULL, NULL);
}

static void
failed(void *context, const struct gluster_question *question, const struct error *error)
{
    struct gluster *gluster = context;

    (void)question;
    if (error->code == ERROR_BACKEND_UNAVAILABLE)
        backend_set(gluster->agent, "gluster", false, NULL, error->message);
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

void
gluster_open(struct gluster *gluster, struct agent *agent)
{
    LOOP_ONLY();
    gluster->agent = agent;
    gluster->questions = (struct lane){ .name = "gluster", .limit = 1 };
    gluster->slow_questions = gluster->questions;
    gluster->availability =
        (struct gluster_watcher){ .answered = answered, .failed = failed, .context = gluster };
    gluster->figures = (struct gauges){ .write = write_figures, .context = gluster };
    gauges_register(agent, &gluster->figures);
    xml_prepare();
    gluster_watch(gluster, &gluster->availability);
    if (strcmp(agent->config->gluster, "none") == 0)
        gluster_command_refuse("switched off by --gluster none");
    backend_set(agent, "gluster", false, NULL, "not asked yet");
    gluster_ask(gluster, &peer_question, NULL);
}
