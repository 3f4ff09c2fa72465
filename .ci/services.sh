#!/usr/bin/env bash
# Install the services that tests start on loopback; needs Debian or Ubuntu, and root. `.ci/run` calls it where CI=true;
# elsewhere the tests that need a missing one are skipped and say so.
set -euo pipefail

# A line for each package, and who needs it.
packages=(
  chromium     # tests/test_report.py, tests/test_serving_page.py, tests/test_mlflow_page.py
  kubectl      # tests/test_deploy_kubernetes.py
  nginx-light  # tests/test_deploy_balancer.py
  postgresql   # tests/test_deploy_recovery.py
  prometheus   # tests/test_deploy_stack.py, tests/test_deploy_monitoring.py
  prometheus-alertmanager # tests/test_deploy_stack.py, tests/test_deploy_compose.py, tests/test_doctor_route.py
  redis-server # plugins/automl-redis/tests, tests/test_serving_faults.py
  wrk          # tests/benchmarks/bench_serving.py
)
# Azurite, for plugins/automl-azure/tests, is no Debian package.
command -v npm >/dev/null || command -v azurite-blob >/dev/null || packages+=(npm)
missing=()
for package in "${packages[@]}"; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
install_azurite() { command -v azurite-blob >/dev/null || npm install --global --silent azurite@3.37.0; }
[[ ${#missing[@]} -eq 0 ]] && { install_azurite; exit 0; }
apt-get update -qq
# A service that starts by itself would take the ports that tests expect to be free.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
trap 'rm -f /usr/sbin/policy-rc.d' EXIT
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
install_azurite
