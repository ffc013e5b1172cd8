/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heals among the operations: what the bricks of a volume have yet to be given by the others.
 *
 * glusterd has no operation and no id for it, it heals whenever there is something to heal; so one is told
 * while there is, as "heal-VOLUME", and none is when all is healed.
 */
#ifndef GLUSTER_OPERATION_HEAL_H
#define GLUSTER_OPERATION_HEAL_H

#include "gluster/operation.h"

/*
 * Item: an operation of kind heal, for each volume with something to heal.  They are counted by glfsheal, which
 * takes its time, and hangs while a brick is silent: heal-count would lock the volume meanwhile, and
 * nobody could work on it.
 */
extern const struct gluster_question heal_work_question;

#endif
