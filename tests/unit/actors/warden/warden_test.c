/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a quarantine that was decided comes into the list, whatever message the warden crashes on while the disk does not
 *          take it; it is in force meanwhile.
 * Method:  the real warden under a supervisor on the faulty disk under virtual time; it is made to panic on the 1st, 2nd, 3rd...
 *          message after the decision, until there is none. Single-thread mode.
 */
#include "tests/unit/runtime/core/kit.h"

#include "ox/supervisor.h"
#include "ox/warden.h"
#include "tests/harness/fault_disk.h"

#define MESSAGES_MAX 100
#define TENANTS      3

static struct ox_node node;
static struct ox_warden warden;
static struct fault_disk *disk;
static uint32_t panic_in; /* messages of the warden from now; 0 = none */
static bool panicked;

static void
before(void *arg, struct ox_actor *self, const char *class_name)
{
    if (strcmp(class_name, "warden") != 0 || panic_in == 0 || --panic_in > 0)
        return;
    panicked = true;
    ox_panic("by the test");
}

static void
wal_message(struct ox_actor *self, struct ox_msg *msg)
{
}
static const struct ox_actor_class wal_class = {.name = "wal", .on_message = wal_message};

static void
begin(uint64_t seed)
{
    static const struct ox_tenants_limits limits = {10,   1000000, 1000000, 1000000,
                                                    NULL, NULL,    1 << 30, 1 << 30};
    struct ox_diag diag;
    ox_pid sup;
    disk = fault_disk_new(seed);
    panic_in = 0;
    panicked = false;
    cr_assert_eq(ox_disk_ensure_dir(fault_disk_seam(disk), "d"), OX_OK);
    kit_start_with((struct ox_runtime_options){.seed = seed, .hooks = {.before = before}});
    node = (struct ox_node){
        .clock = &kit_clock.clock, .disk = fault_disk_seam(disk), .tenants = ox_tenants_new(&limits)};
    warden = (struct ox_warden){0};
    cr_assert_eq(ox_warden_open(&warden, &node, "d", &diag), OX_OK, "%s", diag.text);
    cr_assert_eq(ox_lane_new("warden", 4096, &warden.lane), OX_OK);
    node.wal = kit_spawn(&wal_class, NULL);
    cr_assert_eq(ox_sup_start(&(struct ox_sup_spec){.name = "node", .max_restarts = 5}, &sup, NULL), OX_OK);
    struct ox_child_spec spec = {.id = "warden", .class = &ox_warden_class, .arg = &warden, .name = "warden"};
    cr_assert_eq(ox_sup_add_wait(sup, &spec, &warden.pid, &diag), OX_OK, "%s", diag.text);
}

static void
end(void)
{
    ox_runtime_stop();
    ox_warden_close(&warden);
    ox_tenants_free(node.tenants);
    fault_disk_free(disk);
}

static uint32_t
in_force(const char *name)
{
    struct ox_tenant_id id = {{0}};
    struct ox_tenant *tenant;
    snprintf(id.name, sizeof(id.name), "%s", name);
    cr_assert_eq(ox_tenants_get(node.tenants, &id, &tenant), OX_OK);
    return atomic_load(&tenant->quarantined);
}

/* After the power went: what the next node reads. */
static size_t
kept(void)
{
    struct ox_quarantine *q;
    struct ox_diag diag;
    fault_disk_cut(disk, FAULT_CUT_CLEAN);
    cr_assert_eq(ox_quarantine_open(fault_disk_seam(disk), "d/quarantine.json", &q, &diag), OX_OK);
    size_t n = ox_quarantine_count(q);
    ox_quarantine_close(q);
    return n;
}

/* In steps: one timer leads to the next. */
static void
pass_ms(uint32_t ms)
{
    for (; ms > 0; ms -= 100)
        kit_advance_ms(100);
}

Test(warden, a_quarantine_outlives_the_warden_that_could_not_write_it, .timeout = 60)
{
    static const char *const names[TENANTS] = {"a", "b", "c"};
    uint32_t at = 0;
    do {
        cr_assert_lt(++at, MESSAGES_MAX);
        begin(at);
        fault_disk_limit(disk, 1);
        panic_in = at;
        for (uint32_t i = 0; i < TENANTS; i++) {
            ox_warden_quarantined(&warden, names[i], 6 + i);
            pass_ms(700);
        }
        pass_ms(2000);
        for (uint32_t i = 0; i < TENANTS; i++)
            cr_assert_eq(in_force(names[i]), 6 + i, "%s, panic at message %u", names[i], at);
        fault_disk_limit(disk, 0);
        pass_ms(2000);
        cr_assert_eq(kept(), TENANTS, "panic at message %u", at);
        end();
    } while (panicked);
    cr_assert_gt(at, 6, "no message was crashed on after the third");
}

/* Who is refused everything asks the list why, and the list must know. */
Test(warden, a_quarantine_that_cannot_be_written_is_shown_and_not_denied, .timeout = 60)
{
    static const struct ox_asker who = {"operator", "127.0.0.1", "operator"};
    struct ox_quarantined *q = malloc(sizeof(*q));
    struct ox_diag diag;
    begin(0);
    fault_disk_limit(disk, 1);
    ox_warden_quarantined(&warden, "acme", 7);
    pass_ms(300);
    cr_assert_eq(in_force("acme"), 7);
    cr_assert(ox_warden_unkept(&warden, 0, q));
    cr_assert(strcmp(q->tenant.name, "acme") == 0 && q->crashes == 7);
    cr_assert_not(ox_warden_unkept(&warden, 1, q));
    ox_diag_clear(&diag);
    cr_assert_eq(ox_warden_revoke(&warden, OX_ROLE_OPERATOR, &who, "acme", 7, &diag), OX_E_UNAVAILABLE);
    cr_assert_not_null(strstr(diag.text, "cannot be written down yet"), "%s", diag.text);
    cr_assert_eq(ox_warden_revoke(&warden, OX_ROLE_OPERATOR, &who, "other", 7, &diag), OX_E_NOT_FOUND);
    cr_assert_eq(in_force("acme"), 7);
    fault_disk_limit(disk, 0);
    pass_ms(2000);
    cr_assert_not(ox_warden_unkept(&warden, 0, q));
    cr_assert_eq(kept(), 1);
    free(q);
    end();
}

/* Nobody waits a second for what can be written at once. */
Test(warden, a_quarantine_is_written_at_once)
{
    begin(1);
    ox_warden_quarantined(&warden, "a", 6);
    kit_settle();
    cr_assert_eq(in_force("a"), 6);
    cr_assert_eq(kept(), 1);
    end();
}
