/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of folder implements; for folder*.c only.  The contracts are those of folder.h.
 */
#ifndef STORAGE_FOLDER_KIND_H
#define STORAGE_FOLDER_KIND_H

#include "storage/folder.h"

struct folder_kind {
    bool (*open)(struct folder *parent, const char *name, enum folder_reach reach,
                 struct folder **ret_folder);
    void (*close)(struct folder *folder); /* frees it */
    bool (*make)(struct folder *parent, const char *name, mode_t mode);
    bool (*stat)(struct folder *folder, const char *name, struct stat *ret_status);
    bool (*stat_self)(struct folder *folder, struct stat *ret_status);
    /* Without "." and "..". */
    bool (*each)(struct folder *folder, bool (*each)(const char *name, void *context),
                 void *context);
    bool (*set_size)(struct folder *folder, const char *name, uint64_t size);
    bool (*space)(struct folder *folder, struct statvfs *ret_space);
    bool (*drop)(struct folder *folder, const char *name);
    bool (*replace)(struct folder *folder, const char *name, const void *bytes, size_t size,
                    struct error **err);
    bool (*read)(struct folder *folder, const char *name, size_t limit, struct text *ret_text,
                 struct error **err);
    bool (*rename)(struct folder *from_folder, const char *from, struct folder *to_folder,
                   const char *to, struct error **err);
    bool (*link)(struct folder *from_folder, const char *from, struct folder *to_folder,
                 const char *to, struct error **err);
    bool (*unlink)(struct folder *folder, const char *name, struct error **err);
    bool (*remove_tree)(struct folder *folder, const char *name, struct error **err);
    bool (*sync)(struct folder *folder, struct error **err);
    bool (*sync_file)(struct folder *folder, const char *name, struct error **err);
    bool (*lock_open)(struct folder *folder, const char *name, enum folder_lock_use use,
                      struct folder_lock **ret_lock);
    bool (*lock_take)(struct folder_lock *lock);
    bool (*lock_look)(struct folder_lock *lock, bool *ret_held);
    size_t (*lock_read)(struct folder_lock *lock, char *ret_bytes, size_t size);
    bool (*lock_write)(struct folder_lock *lock, const char *bytes, size_t size);
    int (*lock_fd)(const struct folder_lock *lock); /* NULL: of none */
    void (*lock_close)(struct folder_lock *lock);   /* frees it */
    int (*fd)(const struct folder *folder);
    char *(*program_name)(const struct folder *folder, const char *name, int *ret_dirfd);
};

/* Each kind's structs begin with these. */
struct folder {
    const struct folder_kind *kind;
    const atomic_bool *shut; /* borrowed; NULL: never */
};

struct folder_lock {
    const struct folder_kind *kind;
    enum folder_lock_use use; /* what it was opened for */
    bool inherited;           /* another program may hold it too: closing is not unlocking */
};

#endif
