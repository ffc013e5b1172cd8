# SPDX-License-Identifier: Apache-2.0
libhostler_a_SOURCES += \
  gluster/arguments.c gluster/arguments.h \
  gluster/brick-offline-verbs.c \
  gluster/brick-offline.c gluster/brick-offline.h \
  gluster/brick-spare.c gluster/brick-spare.h \
  gluster/brick-verbs.c \
  gluster/brick.c gluster/brick.h \
  gluster/clone-verbs.c \
  gluster/command.c gluster/command.h \
  gluster/gluster-internal.h \
  gluster/gluster.c gluster/gluster.h \
  gluster/georep-verbs.c \
  gluster/georep.c gluster/georep.h \
  gluster/heal-verbs.c \
  gluster/heal.c gluster/heal.h \
  gluster/hint.c gluster/hint.h \
  gluster/link.c gluster/link.h \
  gluster/moment.c gluster/moment.h \
  gluster/operation-ask.c \
  gluster/operation-heal.c gluster/operation-heal.h \
  gluster/operation-verbs.h \
  gluster/operation.c gluster/operation.h \
  gluster/option-verbs.c \
  gluster/option.c gluster/option.h \
  gluster/peer-roll-verbs.c \
  gluster/peer-roll.c gluster/peer-roll.h \
  gluster/peer-verbs.c \
  gluster/peer-watch.c gluster/peer-watch.h \
  gluster/peer.c gluster/peer.h \
  gluster/pool-health.c gluster/pool-health.h \
  gluster/profile-verbs.c \
  gluster/profile.c gluster/profile.h \
  gluster/question.c gluster/question.h \
  gluster/quota-verbs.c \
  gluster/quota.c gluster/quota.h \
  gluster/rebalance-verbs.c \
  gluster/removal-verbs.c \
  gluster/removal.c gluster/removal.h \
  gluster/snapshot-verbs.c \
  gluster/snapshot.c gluster/snapshot.h \
  gluster/status-verbs.c \
  gluster/status.c gluster/status.h \
  gluster/top-verbs.c \
  gluster/top.c gluster/top.h \
  gluster/volume-layout.c gluster/volume-layout.h \
  gluster/volume-life-verbs.c \
  gluster/volume-verbs.c gluster/volume-verbs.h \
  gluster/volume.c gluster/volume.h \
  gluster/watch.c gluster/watch.h \
  gluster/watched-fd.c gluster/watched-fd.h

UNIT_TESTS += tests/unit/test-brick tests/unit/test-brick-offline tests/unit/test-brick-spare \
  tests/unit/test-georep tests/unit/test-gluster-command tests/unit/test-gluster-status tests/unit/test-gluster-watch \
  tests/unit/test-heal tests/unit/test-operation \
  tests/unit/test-option tests/unit/test-peer tests/unit/test-peer-roll tests/unit/test-peer-watch \
  tests/unit/test-profile tests/unit/test-question tests/unit/test-quota tests/unit/test-top \
  tests/unit/test-volume-layout tests/unit/test-volume-snapshot
EXTRA_DIST += tests/unit/recorded-fixture.h
