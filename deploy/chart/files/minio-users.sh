#!/bin/sh
# Makes a user of MinIO for each part that uses the store, with the policy of that part. It may be run again.
set -eu
export MC_CONFIG_DIR=/tmp/mc
cd /run/secrets
mc alias set store "${S3_ENDPOINT_URL:-http://s3:9000}" "$(cat s3-access-key)" "$(cat s3-secret-key)" > /dev/null
for part in predict drift retrain; do
  user=$(cat "$part-s3-access-key")
  [ "$user" != "$(cat s3-access-key)" ] || continue # of a store of the user's
  mc admin policy create store "$part" "$part-s3-policy"
  mc admin user add store "$user" "$(cat "$part-s3-secret-key")"
  # Attaching what is attached already is an error.
  mc admin policy attach store "$part" --user "$user" ||
    case $(mc --json admin user info store "$user") in
      *"\"$part\""*) ;;
      *) exit 1 ;;
    esac
done
