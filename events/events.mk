# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  events/ring.c events/ring.h \
  events/topic.c events/topic.h
UNIT_TESTS += tests/unit/test-ring tests/unit/test-topic
