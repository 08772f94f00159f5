#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# tools/docs.sh - writes the pages of docs/ that are generated from tables; `meson test docs_...` says which one differs.
set -eu
cd "$(dirname "$0")/.."
for page in metrics:metrics config:configuration errors:errors messages:messages; do
    build/tests/unit/docs/"${page%%:*}"_page >docs/"${page#*:}".md.new
    mv docs/"${page#*:}".md.new docs/"${page#*:}".md
done
