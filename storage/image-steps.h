/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the steps of all image verbs share: finding the repository, holding the image, telling of a
 * change.  The state struct of each verb begins with a struct image_state.
 */
#ifndef STORAGE_IMAGE_STEPS_H
#define STORAGE_IMAGE_STEPS_H

#include "agent/agent.h"
#include "agent/call.h"
#include "agent/verb.h"
#include "storage/image.h"
#include "storage/repository-table.h"

struct image_state {
    struct repository *repository; /* a reference */
    struct image *image;           /* with its lock, if any; closed by image_state_done() */
};

/* The args struct of each verb begins with these two. */
struct image_args {
    char *repository, *image;
};

extern const struct shape image_status_shape;
extern const struct shape image_reference_shape;

/* POOL_LOOP: finds args->repository and sets the lanes. */
enum outcome image_find_repository(struct call *call);
/* POOL_LOOP: what follows counts as work on that repository. */
void image_set_lanes(struct call *call, struct repository *repository);
/* Gives back what the state holds: for .state_done, on a worker. */
void image_state_done(struct call *call);
/* For .object. */
void image_name_object(const void *args, struct object_name *ret_object);

/* For .choices: NULL-terminated. */
extern const char *const image_format_choices[];

/* Opens 'id' as the base of an image of 'size' bytes: locked shared, usable, immutable and no
   larger.  Worker. */
bool image_open_base(struct repository *repository, const char *id, uint64_t size,
                     struct image **ret_base, struct error **err) _must_check_;

/* Callbacks of long reads and copies; the context is the call. */
void image_on_progress(void *call, uint64_t done, uint64_t total);
bool image_on_aborted(void *call);

/* "HOST-ID TASK", for the lock. */
char *image_holder(const struct call *call);
/* Publishes image.changed with the image's status, and writes the same to 'result' unless NULL. */
void image_tell(struct call *call, const struct image *image, struct writer *result);
/* The last of a change: tells as above, of an image that nobody works on any more, and only then
   lets its lock go, so that whoever changes it next is told of later. */
void image_settle(struct call *call, struct image *image, struct writer *result);
/* Publishes image.changed with the status as it is read anew, and writes the same to 'result' unless NULL:
   of an image that is not open, or cannot be read. */
bool image_tell_status(struct call *call, struct repository *repository, const char *id,
                       struct writer *result, struct error **err) _must_check_;
void image_tell_removed(struct call *call, const struct repository *repository, const char *id);
/* The early answer of long verbs: {repository, image}. */
void image_write_reference(struct call *call, const char *repository, const char *image);

#define IMAGE_PARAMS(args_type)                                                                    \
    PARAM(args_type, repository, "repository", .type = PARAM_NAME, .required = true,               \
          .about = "The repository that holds the image."),                                        \
        PARAM(args_type, image, "image", .type = PARAM_NAME, .required = true,                     \
              .about = "The image.")
#define GENERATION_PARAM(args_type)                                                                \
    PARAM(args_type, if_generation, "ifGeneration", .type = PARAM_INTEGER, .minimum = 0,           \
          .maximum = INT64_MAX, .present = PRESENT(args_type, has_generation),                     \
          .about = "Refuse (Conflict) unless the image is at this generation.")

#endif
