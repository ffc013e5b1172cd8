/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unmounting behind the back of whoever asked: a dead server may take long even to be left.
 *
 * While the mount of a name is on its way out, no other repository may take the name: it would find
 * the old mount, and lose it.  Loop only.
 */
#ifndef STORAGE_UNMOUNT_H
#define STORAGE_UNMOUNT_H

#include <stdbool.h>

struct storage;

/* Begins to unmount what lies at the mount point of 'name'; whoever waits for the key
   "unmounted NAME" is woken when it is done.  With 'force' what waits for the server gives up. */
void unmount_begin(struct storage *storage, const char *name, bool force);
bool unmount_is_under_way(const struct storage *storage, const char *name);
/* Unmounts what an agent that was killed has left, and that no repository of the table is for. */
void unmount_what_is_left(struct storage *storage);

#endif
