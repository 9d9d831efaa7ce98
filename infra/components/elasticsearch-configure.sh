# Puts together what Elasticsearch reads as its configuration: the image's, then ours, then the secrets.
set -euo pipefail

cp --recursive "$HOME_FOLDER/config/." /prepared
cp "$GIVEN/elasticsearch.yml" /prepared/elasticsearch.yml
mkdir --parents /prepared/jvm.options.d /prepared/tls
cp "$GIVEN/heap.options" /prepared/jvm.options.d/heap.options
cp /run/secrets/tls/tls.crt /run/secrets/tls/tls.key /run/secrets/tls/ca.crt /prepared/tls
cp "$LOGIN/users" "$LOGIN/users_roles" /prepared
chmod --recursive u+w,o-rwx /prepared

if [ -d "$KEYS" ]; then
    export ES_PATH_CONF=/prepared
    rm --force /prepared/elasticsearch.keystore
    "$HOME_FOLDER/bin/elasticsearch-keystore" create --silent
    for key in access_key secret_key; do
        "$HOME_FOLDER/bin/elasticsearch-keystore" add --stdin --silent "s3.client.default.$key" < "$KEYS/$key"
    done
fi
