#!/usr/bin/env bash
# Builds an image of Apache Kafka that testcontainers' module for Kafka accepts, for machines that can't pull one:
# the shell, a few tools and the Java runtime of this machine, with what they link to, and Kafka's jars.
# scripts/kafka-image.sh NAME[:TAG]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=${1:?name the image, such as eventbus-kafka:4.4.0}
docker image inspect "$name" >/dev/null 2>&1 && exit

libs=$("$here/kafka.sh" fetch)
java=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# add FILE… copies files, as what their links lead to, and the libraries that they are linked with.
add() {
  local file library
  for file; do
    mkdir -p "$root$(dirname "$file")"
    cp -Lu "$file" "$root$file"
    { ldd "$file" 2>/dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
      mkdir -p "$root$(dirname "$library")"
      cp -Lu "$library" "$root$library"
    done
  done
}

mkdir -p "$root"/{bin,usr/bin,usr/sbin,tmp,proc,dev,var/lib/kafka,etc/kafka,etc/confluent/docker,opt/kafka/libs}
for tool in bash sh sed sleep cat mkdir date env hostname; do
  add "$(command -v $tool)"
  [ -e "$root/bin/$tool" ] || cp -L "$(command -v $tool)" "$root/bin/$tool"
done
mkdir -p "$root$java"
cp -RL "$java/." "$root$java/" 2>/dev/null || true # some of its links lead to configuration that is not installed
find "$java/" -type f \( -name '*.so' -o -perm -u+x \) | while read -r file; do add "$file"; done
ln -s "$java/bin/java" "$root/usr/bin/java"
cp "${libs%/\*}"/* "$root/opt/kafka/libs/"
cp "$here/kafka/log4j2.properties" "$root/opt/kafka/"
printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
# What Kafka's compression libraries, which come inside of its jars, are linked with.
for library in libstdc++.so.6 libgcc_s.so.1 libm.so.6 libz.so.1 libpthread.so.0 libdl.so.2 librt.so.1 \
  libnss_files.so.2 libnss_dns.so.2; do
  file=$(ldconfig -p | grep -m 1 -oE "/[^ ]*/$library\$" || true)
  [ -z "$file" ] || add "$file"
done

put() { cat >"$root$1" && chmod 755 "$root$1"; }
: | put /etc/confluent/docker/bash-config
# Every KAFKA_A_B=c becomes a.b=c, as in the image that this stands in for.
put /etc/confluent/docker/configure <<'SCRIPT'
#!/bin/bash
set -e
{
  echo log.dirs=/var/lib/kafka
  while IFS='=' read -r key value; do
    case $key in
      KAFKA_REST_*) ;;
      KAFKA_*)
        key=${key#KAFKA_}
        key=${key,,}
        echo "${key//_/.}=$value"
        ;;
    esac
  done < <(env)
} >/etc/kafka/kafka.properties
SCRIPT
: | put /etc/confluent/docker/ensure
put /etc/confluent/docker/launch <<'SCRIPT'
#!/bin/bash
exec java -Xmx512m -Djava.awt.headless=true -Dkafka.log.level=INFO -Dlog4j2.configurationFile=file:/opt/kafka/log4j2.properties \
  -cp '/opt/kafka/libs/*' kafka.Kafka /etc/kafka/kafka.properties
SCRIPT
put /usr/bin/kafka-storage <<'SCRIPT'
#!/bin/bash
exec java -Xmx256m -Dkafka.log.level=WARN -Dlog4j2.configurationFile=file:/opt/kafka/log4j2.properties \
  -cp '/opt/kafka/libs/*' kafka.tools.StorageTool "$@"
SCRIPT
tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/bin:/bin:/usr/sbin' --change 'ENV KAFKA_AUTO_CREATE_TOPICS_ENABLE=false' - "$name"
