-- The copy that one writes into Envoy by hand: every miss fetches and stores, and the object waits in memory.

function envoy_on_request(handle)
  handle:streamInfo():dynamicMetadata():set("copy", "path", handle:headers():get(":path"))
end

function envoy_on_response(handle)
  local status = handle:headers():get(":status")
  if status ~= "404" and status ~= "403" then
    return
  end
  -- Waits until all of the bucket's answer is here. What it returns does not outlive a call.
  handle:body(true)
  local path = handle:streamInfo():dynamicMetadata():get("copy")["path"]
  local fetched, object = handle:httpCall("origin",
    {[":method"] = "GET", [":path"] = path, [":authority"] = "ORIGIN"}, nil, 85000)
  if fetched[":status"] ~= "200" then
    return
  end
  handle:httpCall("signer", {
    [":method"] = "PUT", [":path"] = "/mirror" .. path, [":authority"] = "BUCKET",
    ["content-type"] = fetched["content-type"], ["if-none-match"] = "*",
    -- What a fill keeps of the origin's answer, too.
    ["x-amz-meta-mirror-last-modified"] = fetched["last-modified"], ["x-amz-meta-mirror-etag"] = fetched["etag"],
    ["x-amz-meta-mirror-url"] = "//ORIGIN" .. path
  }, object, 85000)
  local length = handle:body(true):setBytes(object)
  handle:headers():replace(":status", "200")
  handle:headers():replace("content-type", fetched["content-type"])
  handle:headers():replace("content-length", length)
end
