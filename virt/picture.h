/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures of a VM's screen: QEMU's, as libvirt hands them on, made into a PNG of bounded size.
 *
 * QEMU 7.2 draws a PPM, a later one a PNG; libpng reads and writes the latter.  Any thread.
 */
#ifndef VIRT_PICTURE_H
#define VIRT_PICTURE_H

#include <stddef.h>

#include "agent/base/error.h"
#include "agent/base/text.h"

/* More than any screen's 7,680 by 4,320. */
#define PICTURE_SIDE_MAX 8192

struct picture {
    unsigned width, height;
    unsigned char *pixels; /* red, green, blue; owned */
};

void picture_done(struct picture *picture);
/* 'mime_type' as libvirt tells it.  Error: BackendFailed, when it is none, or is cut short. */
bool picture_read(const char *mime_type, const struct text *bytes, struct picture *ret_picture,
                  struct error **err) _must_check_;
/*
 * As a PNG of at most 'size_max' bytes: made smaller, by '*ret_scale' in each direction, as far as it takes;
 * its own width and height change with it.  '*ret_png' is the caller's.  Error: BackendFailed.
 */
bool picture_write_png(struct picture *picture, size_t size_max, struct text *ret_png,
                       unsigned *ret_scale, struct error **err) _must_check_;

#endif
