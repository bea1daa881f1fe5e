# Makes the files of this directory work with Envoy 1.36, which lacks three fields of theirs:
#
#   sed -E -i -f envoy/configuration/envoy-1.36.sed envoy/configuration/*.yaml

# DirectResponseAction.body_format came with 1.37. Without it what Envoy itself says is text/plain, as with 1.37.
s/^( *)body_format:$/\1body:/
/^ *content_type: application\/xml$/d
/^ *text_format_source:$/d
# Nor does it put anything in.
s/<RequestId>%.*<\/RequestId>//

# AwsRequestSigning.match_included_headers came with 1.37. What may stay out of a signature is excluded instead: all but
# `x-a...`, so x-amz-... are signed.
s/match_included_headers: .*/match_excluded_headers: [{safe_regex: {regex: "[^x].*|x-[^a].*"}}]/

# HttpProtocolOptions.retry_policy came with 1.37. Without it an origin that closes a kept connection just as it is used
# again fails that request.
/^ *retry_policy: \{retry_on: "connect-failure,refused-stream,reset", num_retries: 1\}$/d
