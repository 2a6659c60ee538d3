#!/bin/sh
# Builds the plugin: one executable file that holds everything but Python and
# gRPC themselves, so that the hash which Parley pins covers all of it. The same
# sources give the same bytes.
#
#   ./build.sh [folder]        writes folder/parley-plugin-echo, by default ./build
#
# PYTHON     the interpreter the plugin will run with (/usr/bin/python3)
# PROTO_DIR  where plugin.proto lies (../../protocol/pluginpb)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/build}
python=${PYTHON:-/usr/bin/python3}
proto=${PROTO_DIR:-$here/../../protocol/pluginpb}

missing=
"$python" -c 'import grpc, google.protobuf' 2>/dev/null || missing="$missing python3-grpcio python3-protobuf"
command -v protoc >/dev/null || missing="$missing protobuf-compiler"
generator=$(command -v grpc_python_plugin) || missing="$missing protobuf-compiler-grpc"
if [ -n "$missing" ]; then
	echo "build.sh: missing:$missing" >&2
	echo "install them with: sudo apt-get install$missing" >&2
	exit 1
fi
[ -f "$proto/plugin.proto" ] || { echo "build.sh: no plugin.proto in $proto: set PROTO_DIR" >&2; exit 1; }

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp "$here"/src/*.py "$stage"
protoc -I"$proto" -I"$here" --plugin=protoc-gen-grpc_python="$generator" \
	--python_out="$stage" --grpc_python_out="$stage" plugin.proto health.proto

# What a zip archive would keep of this moment and this machine.
export TZ=UTC
find "$stage" -type f -exec chmod 644 {} + -exec touch -d 2020-01-01T00:00:00 {} +

mkdir -p "$out"
"$python" -m zipapp "$stage" --python "$python" --output "$stage.pyz"
mv "$stage.pyz" "$out/parley-plugin-echo"
chmod 755 "$out/parley-plugin-echo"
echo "$out/parley-plugin-echo"
