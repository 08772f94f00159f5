/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/files.h - directories, configuration files and the socket of the engine.
 *
 * Owns:    the lock on the data directory, for the life of the process.
 * Threads: start-up only.
 */
#ifndef OX_ENGINE_FILES_H
#define OX_ENGINE_FILES_H

#include "engine/engine.h"

struct ox__files {
    char data_dir[2048]; /* absolute: the library wants the same text each time */
    char config_dir[2048];
    char engine_xml[2064];
    char users_xml[2064];
};

/* Makes the directories, takes the lock, writes both files. EXISTS: another engine has the lock. */
OX_MUST_USE ox_err ox__files_prepare(const struct ox_engine_options *options, struct ox__files *out,
                                     struct ox_diag *diag);
/* The listening socket: the inherited one, or a new one at socket_path with mode 0600. */
OX_MUST_USE ox_err ox__files_listen(const struct ox_engine_options *options, int backlog, int *out,
                                    struct ox_diag *diag);

#endif
