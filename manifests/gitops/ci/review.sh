#!/usr/bin/env bash
# Reviews a folder of DeepSeekDeployments: the plan of each file, and what a merge changes in the manifests that run.
#
#   review.sh FOLDER CLUSTER [BASE]
#
# CLUSTER is what `kubectl deepseek inventory` wrote, BASE the branch that is merged into. Exit code 0: every object has a
# plan. 2: one has none; the limit and the nearest thing that would work are printed. 1: a file is wrong; one line says how.
set -uo pipefail
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "usage: review.sh FOLDER CLUSTER [BASE]" >&2
  exit 1
fi
folder=$1 cluster=$2 base=${3:-}
if [ ! -d "$folder" ]; then
  echo "error: there is no folder $folder" >&2
  exit 1
fi
if [ ! -r "$cluster" ]; then
  echo "error: there is no file $cluster; write it with: kubectl deepseek inventory > $cluster" >&2
  exit 1
fi
if [ -n "$base" ] && ! git rev-parse --quiet --verify "$base^{commit}" > /dev/null; then
  echo "error: there is no branch or commit $base; fetch it, with its whole history" >&2
  exit 1
fi
files=("$folder"/*.yaml)
result=0

for file in "${files[@]}"; do
  echo "## $file"
  kubectl-deepseek plan -f "$file" --cluster "$cluster" 2>&1
  code=$?
  if [ "$code" -eq 1 ] || { [ "$code" -ne 0 ] && [ "$result" -eq 0 ]; }; then result=$code; fi
done

if [ -n "$base" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/before" "$work/after"
  for file in "${files[@]}"; do
    name=$(basename "$file")
    if git show "$base:./$file" > "$work/old.yaml" 2>/dev/null; then
      kubectl-deepseek render -f "$work/old.yaml" --cluster "$cluster" > "$work/before/$name" 2>/dev/null
    fi
    kubectl-deepseek render -f "$file" --cluster "$cluster" > "$work/after/$name" 2>/dev/null
  done
  echo "## Manifests that a merge changes"
  # The kept pod template is one long line of JSON, and says nothing that the workload does not say in lines.
  changes=$(cd "$work" && git --no-pager diff --no-index --no-color before after | cut -c 1-200)
  echo "${changes:-none}"
fi
exit "$result"
