/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a guesser waits longer and longer; nobody is shut out for ever, nor by somebody elsewhere; whether an account exists
 *          cannot be told by how often it may be tried.
 * Method:  attempts at times that the test gives.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "ox/login_limit.h"

#define T 1700000000

static struct ox_login_limit *l;
static struct ox_diag diag;

static void
up(void)
{
    l = ox_login_limit_new();
    cr_assert_not_null(l);
}

static void
down(void)
{
    ox_login_limit_free(l);
}

TestSuite(login_limit, .init = up, .fini = down);

/* Seconds to wait; 0: it was tried. */
static uint32_t
attempt(const char *peer, const char *user, int64_t now_s)
{
    ox_diag_clear(&diag);
    ox_err err = ox_login_limit_try(l, peer, "acme", user, now_s, &diag);
    cr_assert(err == OX_OK || err == OX_E_OVERLOAD);
    cr_assert_eq(err == OX_OK, diag.retry_ms == 0);
    return diag.retry_ms / 1000;
}

Test(login_limit, who_guesses_waits_longer_and_longer_and_never_too_long)
{
    int64_t now = T;
    for (int i = 0; i < OX_LOGIN_FREE; i++)
        cr_assert_eq(attempt("192.0.2.1", "anna", now), 0);
    static const uint32_t waits[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    for (size_t i = 0; i < OX_COUNT(waits); i++) {
        cr_assert_eq(attempt("192.0.2.1", "anna", now), waits[i], "%zu: %u", i, diag.retry_ms);
        cr_assert_eq(attempt("192.0.2.1", "anna", now), waits[i], "what is refused does not count");
        now += waits[i];
        cr_assert_eq(attempt("192.0.2.1", "anna", now), 0, "%zu", i);
    }
    cr_assert_eq(attempt("192.0.2.1", "anna", now + OX_LOGIN_FORGET_S), 0);
    cr_assert_eq(attempt("192.0.2.1", "anna", now + OX_LOGIN_FORGET_S), 0, "it begins anew");
}

Test(login_limit, the_right_password_ends_the_count)
{
    for (int i = 0; i < OX_LOGIN_FREE; i++)
        cr_assert_eq(attempt("192.0.2.1", "anna", T), 0);
    cr_assert_eq(attempt("192.0.2.1", "anna", T + 1), 0);
    ox_login_limit_right(l, "192.0.2.1", "acme", "anna", T + 1);
    for (int i = 0; i < OX_LOGIN_FREE; i++)
        cr_assert_eq(attempt("192.0.2.1", "anna", T + 1), 0);
}

Test(login_limit, nobody_elsewhere_is_shut_out)
{
    for (int i = 0; i < OX_LOGIN_FREE; i++)
        (void)attempt("192.0.2.1", "anna", T);
    cr_assert_neq(attempt("192.0.2.1", "anna", T), 0);
    cr_assert_eq(attempt("192.0.2.2", "anna", T), 0);
    cr_assert_eq(attempt("192.0.2.1", "bob", T), 0);
    cr_assert_eq(ox_login_limit_try(l, "192.0.2.1", "globex", "anna", T, &diag), OX_OK);
}

Test(login_limit, an_address_tries_so_many_accounts_and_no_more)
{
    char user[16];
    for (int i = 0; i < OX_LOGIN_ADDRESS_MAX; i++) {
        snprintf(user, sizeof(user), "u%d", i);
        cr_assert_eq(attempt("2001:db8::1", user, T + i), 0);
    }
    cr_assert_eq(attempt("2001:db8::ffff", "more", T + 40), 20, "the same /64, until the window ends");
    cr_assert_eq(attempt("2001:db8:1::1", "more", T + 40), 0, "another one");
    cr_assert_eq(attempt("2001:db8::1", "more", T + OX_LOGIN_WINDOW_S), 0);
}

Test(login_limit, who_logs_in_does_not_use_up_his_address)
{
    for (int i = 0; i < 3 * OX_LOGIN_ADDRESS_MAX; i++) {
        cr_assert_eq(attempt("192.0.2.1", "anna", T), 0);
        ox_login_limit_right(l, "192.0.2.1", "acme", "anna", T);
    }
}

Test(login_limit, guessing_from_everywhere_does_not_shut_the_owner_out)
{
    char peer[32];
    cr_assert_eq(attempt("198.51.100.1", "anna", T), 0);
    ox_login_limit_right(l, "198.51.100.1", "acme", "anna", T);
    for (int i = 0; i < OX_LOGIN_ACCOUNT_MAX; i++) {
        snprintf(peer, sizeof(peer), "192.0.2.%d", i);
        cr_assert_eq(attempt(peer, "anna", T), 0);
    }
    cr_assert_eq(attempt("203.0.113.1", "anna", T), OX_LOGIN_ACCOUNT_S);
    cr_assert_eq(attempt("203.0.113.2", "anna", T + OX_LOGIN_ACCOUNT_S), 0, "one at a time goes on");
    cr_assert_eq(attempt("203.0.113.3", "anna", T + OX_LOGIN_ACCOUNT_S), OX_LOGIN_ACCOUNT_S);
    cr_assert_eq(attempt("198.51.100.1", "anna", T + OX_LOGIN_ACCOUNT_S), 0,
                 "from where he logs in he always may");
}

Test(login_limit, the_table_has_room_for_all_and_forgets_the_oldest)
{
    char user[24];
    for (int i = 0; i < 100000; i++) {
        char peer[32];
        snprintf(user, sizeof(user), "u%d", i);
        snprintf(peer, sizeof(peer), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        cr_assert_eq(attempt(peer, user, T + i / 100), 0);
    }
}

Test(login_limit, a_clock_that_is_put_back_begins_anew)
{
    for (int i = 0; i < OX_LOGIN_FREE; i++)
        (void)attempt("192.0.2.1", "anna", T);
    cr_assert_eq(attempt("192.0.2.1", "anna", T - 1000), 0);
}
