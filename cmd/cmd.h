/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd.h - the subcommands of the program.
 *
 * Each has the signature of main: argv[0] is the subcommand's own name, argv[1] its first argument.
 * Each returns the exit code: OX_EXIT_*. cmd/main.c holds the table; cmd/tbl_commands.h its rows.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 */
#ifndef OX_CMD_H
#define OX_CMD_H

#include "ox/config.h"

/* Exit codes; 64 and 70 as in sysexits.h. */
#define OX_EXIT_OK       0
#define OX_EXIT_FAILED   1  /* the thing asked for did not work; the sentence on stderr says why */
#define OX_EXIT_USAGE    64 /* wrong arguments or configuration */
#define OX_EXIT_CRASHING 70 /* the heart gave up on a child that keeps crashing */

#define OX_COMMAND(name, hidden, usage, text) int ox_cmd_##name(int argc, char **argv);
#include "cmd/tbl_commands.h"
#undef OX_COMMAND

/*
 * A subcommand's own flags, taken out of argv before the configuration's flags are read.
 * value: where the text goes (points into argv); for a switch without a value use `on`.
 */
struct ox_flag {
    const char *name;   /* without dashes: "format" */
    const char **value; /* or NULL */
    bool *on;           /* or NULL */
};

/*
 * Takes the flags of `flags` out of argv, whose remaining elements move up; *argc is adjusted. "--" ends
 * flags. Prints a sentence and returns INVALID when a value is missing.
 */
OX_MUST_USE ox_err ox_flags_take(int *argc, char **argv, const struct ox_flag *flags, size_t count);

/* As ox_flags_take for a command whose whole argument list is `flags` and at most `positional_max` words:
 * an unknown flag is an error that names the nearest. Positional words stay in argv[1..]. */
OX_MUST_USE ox_err ox_flags_take_all(int *argc, char **argv, const struct ox_flag *flags, size_t count,
                                     int positional_max);

/*
 * Loads the configuration for a subcommand: --config FILE and all other flags of argv[1..argc), the
 * environment, the file. Prints every problem to stderr and returns its error when it cannot be used.
 */
OX_MUST_USE ox_err ox_cmd_load(int argc, char **argv, struct ox_config *config);

/*
 * The same, and what it was loaded from, so that it can be loaded again: `kept` lends the environment and argv, whose
 * flag --config is taken out. Both must live as long as `kept` is used.
 */
OX_MUST_USE ox_err ox_cmd_load_kept(int argc, char **argv, struct ox_config *config,
                                    struct ox_config_sources *kept);

/* postgresql://user:PASSWORD@host must not end up in a terminal's history: its password becomes stars. */
void ox_cmd_hide_password(struct ox_buf *value);

/* Makes log.level of the configuration this process's level. */
void ox_cmd_set_log_level(const struct ox_config *config);

/* "observex: " + the sentence + newline on stderr; returns OX_EXIT_FAILED, so that `return ox_complain(...)`
 * works. */
int ox_complain(const char *fmt, ...) OX_PRINTF(1, 2);
/* The same for wrong arguments: adds a hint at `observex help <command>`; returns OX_EXIT_USAGE. */
int ox_complain_usage(const char *command, const char *fmt, ...) OX_PRINTF(2, 3);

/* Prints the help of one subcommand, or of all of them when name is NULL, to `to`. false: no such name. */
struct _IO_FILE;
bool ox_cmd_help_print(struct _IO_FILE *to, const char *name);

#endif
