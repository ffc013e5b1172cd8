/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs about a volume share: its parameter, its name as the task's object, and the step that
 * is one command.
 */
#ifndef GLUSTER_VOLUME_VERBS_H
#define GLUSTER_VOLUME_VERBS_H

#include "agent/call.h"
#include "agent/verb.h"
#include "gluster/command.h"
#include "gluster/question.h"

/* The args of each begin with 'volume', so that one function names the object of them all. */
#define VOLUME_PARAM(args)                                                                         \
    PARAM(args, volume, "volume", .type = PARAM_NAME, .required = true,                            \
          .about = "The volume's name.")
void volume_name_object(const void *args, struct object_name *ret_object);

/* Behind the steps of a verb that changes something. */
#define GLUSTER_FORGET_STEP                                                                        \
    {                                                                                              \
        "forget what was known", gluster_forget_step, .pool = POOL_LOOP, .when = ALWAYS            \
    }

/* The whole of a step that is one command whose answer nobody needs: return it.  Worker. */
enum outcome volume_command_step(struct call *call, const char *volume,
                                 const char *const *arguments);

/* The whole of a step that answers the volume (volume_shape) as it is now, behind those that changed it: return
   it.  Worker. */
enum outcome volume_answer_step(struct call *call, const char *volume);

#endif
