# Puts together what Logstash reads as its settings: the image's, then ours, and the password in its keystore.
set -euo pipefail

cp --recursive "$HOME_FOLDER/config/." /prepared
cp "$GIVEN/logstash.yml" "$GIVEN/pipelines.yml" /prepared
chmod --recursive u+w,o-rwx /prepared

rm --force /prepared/logstash.keystore
# It asks whether it really may be without a password of its own; whoever can read it can read the Secret, too.
echo y | "$HOME_FOLDER/bin/logstash-keystore" --path.settings /prepared create
"$HOME_FOLDER/bin/logstash-keystore" --path.settings /prepared add WRITER_PASSWORD --stdin < "$SECRET/password"

# The pipeline that reads it does not start without it, and the one that fills it may start later.
mkdir --parents "$DATA/dead_letter_queue/main"
