/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/tbl/metrics.h - the runtime's own metrics, once. Columns: see include/ox/metric.h.
 */
/* clang-format off */
OX_METRIC(runtime_turns,           counter,   none,    "",         "observex_runtime_turns_total",            "Turns of actors.")
OX_METRIC(runtime_messages,        counter,   none,    "",         "observex_runtime_messages_total",         "Messages handled by actors.")
OX_METRIC(runtime_refused,         counter,   none,    "reason",   "observex_runtime_sends_refused_total",    "Sends that stayed with their sender.")
OX_METRIC(runtime_undelivered,     counter,   none,    "",         "observex_runtime_undelivered_total",      "Messages whose mailbox ended before they were read.")
OX_METRIC(runtime_exits,           counter,   none,    "reason",   "observex_runtime_actor_exits_total",      "Actors that ended, by reason.")
OX_METRIC(runtime_panics,          counter,   none,    "class",    "observex_runtime_actor_panics_total",     "Panics contained to their actor.")
OX_METRIC(runtime_restarts,        counter,   none,    "class",    "observex_runtime_actor_restarts_total",   "Restarts by supervisors.")
OX_METRIC(actor_quarantined,       counter,   none,    "class",    "observex_actor_quarantined_total",        "Children that passed their restart intensity.")
OX_METRIC(runtime_actors,          gauge,     none,    "",         "observex_runtime_actors",                 "Actors alive.")
OX_METRIC(runtime_moved,           counter,   none,    "",         "observex_runtime_actors_moved_total",     "Idle actors woken on another loop.")
OX_METRIC(runtime_turn_long,       counter,   none,    "class",    "observex_runtime_turns_long_total",       "Turns longer than turn_warn_ms.")
OX_METRIC(runtime_turn_fault,      counter,   none,    "class",    "observex_runtime_turns_fault_total",      "Turns longer than turn_fault_ms.")
OX_METRIC(runtime_dirty_jobs,      counter,   none,    "lane",     "observex_runtime_dirty_jobs_total",       "Jobs run on dirty threads.")
OX_METRIC(runtime_dirty_seconds,   histogram, seconds, "lane",     "observex_runtime_dirty_job_seconds",      "Time that jobs ran on dirty threads.")
OX_METRIC(runtime_dirty_refused,   counter,   none,    "lane",     "observex_runtime_dirty_jobs_refused_total", "Jobs refused by a full dirty queue.")
OX_METRIC(runtime_timers,          counter,   none,    "",         "observex_runtime_timers_total",           "Timers that came due.")
OX_METRIC(runtime_log_lost,        counter,   none,    "",         "observex_runtime_log_lines_lost_total",   "Log lines that could not be written.")
OX_METRIC(runtime_log_suppressed,  counter,   none,    "",         "observex_runtime_log_lines_suppressed_total", "Log lines left out by the repeat limit.")
OX_METRIC(runtime_metric_lost,     counter,   none,    "",         "observex_runtime_metric_changes_lost_total", "Changes of labelled metrics lost for want of memory.")
/* clang-format on */
