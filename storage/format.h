/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The on-disk format, and the only place that knows it.  doc/formats.md is its prose and argument.
 *
 *   REPOSITORY/hostler.json                {"hostler": "repository", "version": 1, "uuid", "created"}
 *   REPOSITORY/images/IMAGE/image.json     struct image_record; replaced atomically
 *   REPOSITORY/images/IMAGE/data           the bits, where image.json names no other file
 *   REPOSITORY/images/IMAGE/data-UUID      likewise, where it names this one; else a left-over
 *   REPOSITORY/images/IMAGE/lock           empty but for who holds it (storage/image-lock.h)
 *   REPOSITORY/images/IMAGE/copy.json      struct copy_record; only while a copy into it is incomplete
 *   REPOSITORY/images/IMAGE/uses/VM-HOST.json   struct use_record, of a virtual machine whose disk it is
 *   REPOSITORY/images/.new-UUID            an image that is being made; no listing shows it
 *   REPOSITORY/images/.gone-UUID           an image that was removed and is not freed yet
 *
 * Unknown members of a file are kept out and lost at the next write, so a change that may not be
 * lost raises the version; a newer version is refused, never guessed at.
 */
#ifndef STORAGE_FORMAT_H
#define STORAGE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/error.h"
#include "agent/base/name.h"
#include "agent/base/text.h"

#define FORMAT_VERSION 1
#define FORMAT_IMAGE_VERSION 2 /* the newest of image.json; see image_record_write() */
#define FORMAT_REPOSITORY_FILE "hostler.json"
#define FORMAT_IMAGES "images"
#define FORMAT_IMAGE_FILE "image.json"
#define FORMAT_COPY_FILE "copy.json"
#define FORMAT_DATA "data"
#define FORMAT_DATA_PREFIX FORMAT_DATA "-" /* and a UUID */
#define FORMAT_LOCK "lock"
#define FORMAT_USES "uses"
#define FORMAT_NEW_PREFIX ".new-"
#define FORMAT_GONE_PREFIX ".gone-"
#define FORMAT_FILE_SIZE_MAX (256 * 1024) /* of any of the JSON files; userData is at most 64 KiB */

enum image_format { IMAGE_RAW, IMAGE_QCOW2 };

struct repository_record {
    char uuid[UUID_TEXT_SIZE];
    int64_t created_ns;
};

/* image.json.  Its durable replacement is the moment at which an operation has happened. */
struct image_record {
    enum image_format format;
    uint64_t size; /* bytes the image shows */
    bool mutable;
    bool complete;       /* false: a copy into it has not finished; copy.json tells how far it is */
    bool upload;         /* not so: what is not complete is an upload (storage/ticket.h) */
    char *base;          /* image id in the same repository, owned, or NULL */
    char *data;          /* the file that holds its bits, owned; NULL: FORMAT_DATA */
    uint64_t generation; /* raised by one by each completed operation; 0 while first incomplete */
    int64_t created_ns;
    char *user_data;     /* a JSON object as text, owned; NULL is {} */
    char *checksum;      /* hex of storage/checksum.h, owned, or NULL; of the present contents */
    int64_t checksum_ns; /* when it was taken */
    char *checksum_of;   /* when its data was last written to, as the file system had it then: owned
                            text that is only compared, or NULL */
    char *damage;        /* why the contents must not be used (verify found it), owned, or NULL */
    char *snapshot_of;   /* the image it is being made from, which shares its data file until it is
                            done; owned, or NULL */
    bool resizing;       /* its data may be larger than the image, for they are being changed */
    char *merging;       /* the base that is being folded into this image; owned, or NULL */
    char *merged_into;   /* the image that this base is being folded into; owned, or NULL */
};

/* copy.json.  'done' is written only after the data before it is durable. */
struct copy_record {
    char *source_repository; /* name at the time, owned; NULL for an import */
    char source_uuid
        [UUID_TEXT_SIZE]; /* of the source repository: names are transient; "" for an import */
    char *source_image;   /* owned, or NULL */
    char *source_path;    /* of an import: an absolute path or a URL; owned, or NULL */
    enum image_format source_format;
    char *source_identity;     /* what must be unchanged to continue: size and mtime, of an
                                  image also its creation, of a file its inode; owned text */
    uint64_t done, total;      /* bytes of the image */
    char host[UUID_TEXT_SIZE]; /* host id of who worked on it last */
    char *task;                /* its task, owned */
    int64_t updated_ns;        /* heartbeat: about every 2 s while it runs */
    uint64_t bytes_per_second; /* 0: no bound */
    bool verify;               /* compare with the source at the end */
    bool resume_on_crash;      /* onCrash: "resume" */
};

/* uses/VM-HOST.json: a virtual machine that a host has defined needs the image.  One file each, so that
   hosts that come and go are in nobody's way. */
struct use_record {
    char vm[UUID_TEXT_SIZE];   /* as the file's name has it */
    char host[UUID_TEXT_SIZE]; /* host id of who has defined it; likewise */
    char *name;                /* of the machine at that time, for messages; owned */
    int64_t since_ns;
    bool writable;
    bool shareable; /* writable for several at once: a file system of theirs sees to that */
};

void image_record_done(struct image_record *record);
void copy_record_done(struct copy_record *record);
void use_record_done(struct use_record *record);
bool image_record_copy(const struct image_record *from, struct image_record *ret_record);

/* Each parse refuses what is not exactly right, naming the member: ImageBroken for an image's
   files, RepositoryUnavailable for hostler.json and for any newer version. */
bool repository_record_parse(const char *text, size_t size, struct repository_record *ret_record,
                             struct error **err) _must_check_;
bool image_record_parse(const char *text, size_t size, struct image_record *ret_record,
                        struct error **err) _must_check_;
bool copy_record_parse(const char *text, size_t size, struct copy_record *ret_record,
                       struct error **err) _must_check_;
/* 'vm' and 'host' are those of the file's name, see use_name_parse().  ImageBroken. */
bool use_record_parse(const char *text, size_t size, struct use_record *ret_record,
                      struct error **err) _must_check_;
/* Of the members that an older agent would lose, a change that may not be lost raises the version of
   that one record: so all others can still be read by it. */
void repository_record_write(const struct repository_record *record, struct text *ret_text);
void image_record_write(const struct image_record *record, struct text *ret_text);
void copy_record_write(const struct copy_record *record, struct text *ret_text);
void use_record_write(const struct use_record *record, struct text *ret_text);

/* The name of a use's file: "VM-HOST.json"; to be freed.  And whose it is; false: it is no use's. */
char *use_name(const char *vm, const char *host);
bool use_name_parse(const char *name, char ret_vm[UUID_TEXT_SIZE], char ret_host[UUID_TEXT_SIZE])
    _must_check_;
/* Whether it is a UUID as the agent and libvirt write them: lower case. */
bool uuid_text_valid(const char *text) _must_check_;

/* The name of the file that holds the bits. */
const char *image_record_data(const struct image_record *record);
/* Whether 'name' is one that data files have. */
bool format_names_data(const char *name);

const char *image_format_name(enum image_format format);
bool image_format_parse(const char *name, enum image_format *ret_format) _must_check_;
/* Bytes that an image of this format shows when 'size' are asked for: QEMU's sizes are whole sectors. */
uint64_t image_format_size(enum image_format format, uint64_t size);

#endif
