/* SPDX-License-Identifier: MIT
 * Scene audit: what `bus audit` would say of a scene's store and topics. */
#ifndef TESTS_SUPPORT_SCENE_AUDIT_H
#define TESTS_SUPPORT_SCENE_AUDIT_H

#include "support/scene.h"

/* Words "rule" of what it finds, each once, in the order of the rules; of what it only notes "(rule)". "": nothing. In scene->text. */
const char *scene_audit(scene *scene);

#endif
