# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  gluster/arguments.c gluster/arguments.h \
  gluster/brick.c gluster/brick.h \
  gluster/clone-verbs.c \
  gluster/command.c gluster/command.h \
  gluster/gluster-internal.h \
  gluster/gluster.c gluster/gluster.h \
  gluster/heal-verbs.c \
  gluster/heal.c gluster/heal.h \
  gluster/peer-verbs.c \
  gluster/peer.c gluster/peer.h \
  gluster/question.c gluster/question.h \
  gluster/status-verbs.c \
  gluster/status.c gluster/status.h \
  gluster/snapshot-verbs.c \
  gluster/snapshot.c gluster/snapshot.h \
  gluster/volume-layout.c gluster/volume-layout.h \
  gluster/volume-life-verbs.c \
  gluster/volume-verbs.c gluster/volume-verbs.h \
  gluster/volume.c gluster/volume.h \
  gluster/xml.c gluster/xml.h

UNIT_TESTS += tests/unit/test-brick tests/unit/test-gluster-command tests/unit/test-gluster-status \
  tests/unit/test-gluster-xml tests/unit/test-heal tests/unit/test-question \
  tests/unit/test-volume-layout tests/unit/test-volume-snapshot
