/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/main.c - the command line's entry: finds the subcommand and runs it.
 *
 * Owns:    the table of subcommands (cmd/tbl_commands.h).
 * Threads: the main thread.
 * Fails:   OX_EXIT_USAGE, with the nearest name.
 */
#include <stdio.h>

#include "cmd/client_tls.h"
#include "cmd/cmd.h"

struct command {
    const char *name;
    bool hidden;
    const char *usage;
    const char *text;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
#define OX_COMMAND(name, hidden, usage, text) {#name, hidden, usage, text, ox_cmd_##name},
#include "cmd/tbl_commands.h"
#undef OX_COMMAND
};

/* The table's identifiers have no dashes, the words of a command line have no underscores. */
static bool
same_word(const char *row, const char *word)
{
    for (; *row != '\0' && *word != '\0'; row++, word++) {
        if (*row != *word && !(*row == '_' && *word == '-'))
            return false;
    }
    return *row == *word;
}

static const struct command *
find_command(const char *name)
{
    for (size_t i = 0; i < OX_COUNT(commands); i++) {
        if (same_word(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

static const char *
nearest_command(const char *name)
{
    const char *names[OX_COUNT(commands)];
    size_t n = 0;
    for (size_t i = 0; i < OX_COUNT(commands); i++) {
        if (!commands[i].hidden)
            names[n++] = commands[i].name;
    }
    return ox_nearest_name(ox_str_of(name), names, n);
}

static void
print_list(FILE *to)
{
    fputs("ObserveX takes OpenTelemetry logs, metrics and traces, stores them and answers questions.\n\n"
          "Usage: observex COMMAND [ARGUMENTS]\n\n",
          to);
    for (size_t i = 0; i < OX_COUNT(commands); i++) {
        const struct command *c = &commands[i];
        if (!c->hidden)
            fprintf(to, "  %-10.*s %.*s\n", (int)strcspn(c->usage, " "), c->usage,
                    (int)strcspn(c->text, "\n"), c->text);
    }
    fputs("\n`observex help COMMAND` tells more. First steps: `observex serve`, then send OTLP to port 4317 "
          "or 4318.\n",
          to);
}

bool
ox_cmd_help_print(struct _IO_FILE *to, const char *name)
{
    if (name == NULL) {
        print_list(to);
        return true;
    }
    const struct command *c = find_command(name);
    if (c == NULL)
        return false;
    fprintf(to, "Usage: observex %s\n\n%s", c->usage, c->text);
    return true;
}

static int
unknown_command(const char *name)
{
    const char *nearest = nearest_command(name);
    if (nearest != NULL)
        ox_complain("there is no command `%s`; did you mean `%s`?", name, nearest);
    else
        ox_complain("there is no command `%s`; `observex help` lists them", name);
    return OX_EXIT_USAGE;
}

static int
help(const char *name)
{
    return ox_cmd_help_print(stdout, name) ? OX_EXIT_OK : unknown_command(name);
}

static bool
asks_for_help(const char *arg)
{
    return strcmp(arg, "help") == 0 || strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* `observex dlq list --help` asks, too; behind `--` words are only words. */
static bool
help_among(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

/* Commands that ask a server over HTTP. */
static bool
is_client(const char *name)
{
    static const char *const clients[] = {"status", "trace", "logs",   "config",     "crashes", "key",
                                          "send",   "demo",  "tenant", "quarantine", "quota",   "dlq"};
    for (size_t i = 0; i < OX_COUNT(clients); i++) {
        if (strcmp(name, clients[i]) == 0)
            return true;
    }
    return false;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        ox_cmd_help_print(stderr, NULL);
        return OX_EXIT_USAGE;
    }
    if (asks_for_help(argv[1]))
        return help(argc > 2 ? argv[2] : NULL);
    const struct command *c = find_command(strcmp(argv[1], "--version") == 0 ? "version" : argv[1]);
    if (c == NULL)
        return unknown_command(argv[1]);
    if (help_among(argc, argv))
        return help(c->name);
    argc--;
    argv++;
    /* What runs a server has keys of these names for itself, and asks nobody. */
    if (is_client(c->name) && ox_client_tls_take(&argc, argv) != OX_OK)
        return OX_EXIT_USAGE;
    return c->run(argc, argv);
}
