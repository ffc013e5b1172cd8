/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include "virt/unplug.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include "agent/base/thread.h"
#include "virt/virt-internal.h"

#define UUID "3ae3e2d4-2b7a-4d5c-9b8e-000000000001"
#define OTHER "3ae3e2d4-2b7a-4d5c-9b8e-000000000002"

static void
tell(struct virt *virt, enum vm_news_kind kind, const char *uuid, char *device)
{
    struct vm_news news = { .kind = kind, .device = device };

    memcpy(news.uuid, uuid, sizeof(news.uuid));
    virt->listeners->told(virt->listeners->context, &news);
}

static void
a_refusal_is_heard_of_that_device_alone(void **unused)
{
    static char disk1[] = "virtio-disk1", disk2[] = "virtio-disk2";
    struct virt virt = { 0 };
    struct unplug *first, *second;

    (void)unused;
    unplug_open(&virt);
    first = unplug_begin(&virt, UUID, disk1);
    second = unplug_begin(&virt, UUID, disk2);
    tell(&virt, VM_NEWS_DEVICE_REMOVAL_FAILED, OTHER, disk1);
    tell(&virt, VM_NEWS_DEVICE_REMOVED, UUID, disk1);
    tell(&virt, VM_NEWS_DEVICE_REMOVAL_FAILED, UUID, NULL);
    assert_false(atomic_load(&first->refused));
    tell(&virt, VM_NEWS_DEVICE_REMOVAL_FAILED, UUID, disk1);
    assert_true(atomic_load(&first->refused));
    assert_false(atomic_load(&second->refused));
    unplug_end(first, false, NULL, NULL);
    assert_ptr_equal(virt.unplugs, second);
    unplug_end(second, false, "fast", "web1");
    assert_null(virt.unplugs);
}

/* A network card has no image whose record would have to go. */
static void
what_has_no_image_is_not_heard_of_any_more(void **unused)
{
    static char card[] = "net1";
    struct virt virt = { 0 };

    (void)unused;
    unplug_open(&virt);
    unplug_end(unplug_begin(&virt, UUID, card), true, NULL, NULL);
    assert_null(virt.unplugs);
    tell(&virt, VM_NEWS_DEVICE_REMOVED, UUID, card);
    unplug_end(NULL, true, NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_is_heard_of_that_device_alone),
        cmocka_unit_test(what_has_no_image_is_not_heard_of_any_more),
    };

    thread_mark(THREAD_LOOP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
