//! The module's view of headers, bodies and properties at each time (`Context::getMap`, `getBuffer`, `getProperty`).

use proxy_wasm::types::{BufferType, MapType, Status};

use super::Host;
use super::headers::Headers;

impl Host {
    /// Returns the map as getters see it; `None` where Envoy has none at this point.
    fn map(&self, map: MapType) -> Option<&Headers> {
        match map {
            MapType::HttpRequestHeaders => self.streams.get(&self.context())?.visible_request(),
            MapType::HttpResponseHeaders => self.streams.get(&self.context())?.visible_response(),
            MapType::HttpCallResponseHeaders => self.calls.delivering.as_ref().map(|(headers, _)| headers),
            _ => None,
        }
    }

    /// Implements `proxy_get_header_map_value`. Without a map it is `BadArgument`, at which the SDK panics, but not
    /// while the access log is written.
    pub fn header(&self, map: MapType, name: &str) -> Result<Vec<u8>, Status> {
        let logging = self.streams.get(&self.context()).is_some_and(|stream| stream.is_logging);
        let missing = if logging { Status::NotFound } else { Status::BadArgument };
        self.map(map).ok_or(missing)?.get(name).map(<[u8]>::to_vec).ok_or(Status::NotFound)
    }

    /// Implements `proxy_get_header_map_pairs`: empty where there is no map.
    pub fn all_headers(&self, map: MapType) -> Headers {
        self.map(map).cloned().unwrap_or_default()
    }

    /// Changes the map as setters see it.
    pub fn change_headers(&mut self, map: MapType, change: impl FnOnce(&mut Headers)) -> Result<(), Status> {
        let context = self.context();
        let stream = self.streams.get_mut(&context).ok_or(Status::BadArgument)?;
        let headers = match map {
            MapType::HttpRequestHeaders => stream.writable_request(),
            MapType::HttpResponseHeaders => stream.writable_response(),
            _ => None,
        };
        change(headers.ok_or(Status::BadArgument)?);
        if map == MapType::HttpResponseHeaders && stream.headers_were_sent() {
            self.violation_on(context, "response headers changed after they were sent");
        }
        Ok(())
    }

    /// Implements `proxy_get_buffer_bytes`. It returns the existing part of the range. A range that is not there is
    /// empty, not an error.
    pub fn buffer(&self, buffer: BufferType, start: usize, max_size: usize) -> Result<Vec<u8>, Status> {
        let bytes: &[u8] = match buffer {
            BufferType::HttpRequestBody | BufferType::VmConfiguration => &[],
            BufferType::HttpResponseBody => {
                self.streams.get(&self.context()).and_then(|stream| stream.visible_body()).unwrap_or_default()
            }
            BufferType::HttpCallResponseBody => {
                self.calls.delivering.as_ref().map(|(_, body)| body.as_slice()).ok_or(Status::NotFound)?
            }
            BufferType::PluginConfiguration => self.vm.configuration.as_deref().ok_or(Status::NotFound)?,
            _ => return Err(Status::NotFound),
        };
        let end = start.saturating_add(max_size).min(bytes.len());
        if buffer == BufferType::HttpCallResponseBody {
            self.calls.longest_read.set(self.calls.longest_read.get().max(end.saturating_sub(start)));
        }
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    /// Implements `proxy_set_buffer_bytes`. It can only replace a whole body, and only one that is there: a response
    /// without a body cannot be given one. (`Buffer::copyFrom`; measured)
    pub fn change_buffer(&mut self, buffer: BufferType, start: usize, size: usize, data: &[u8]) -> Result<(), Status> {
        if buffer != BufferType::HttpResponseBody {
            return Err(Status::BadArgument);
        }
        let context = self.context();
        let body =
            self.streams.get_mut(&context).and_then(|stream| stream.writable_body()).ok_or(Status::BadArgument)?;
        match (start, size) {
            (0, 0) => body.splice(..0, data.iter().copied()).for_each(drop),
            (0, size) if size >= body.len() => *body = data.to_vec(),
            (start, _) if start != 0 && start >= body.len() => body.extend_from_slice(data),
            _ => return Err(Status::BadArgument),
        }
        let limit = self.settings.buffer_limit;
        if self.stream(context).holds_more_than(limit) {
            // It answers 500 at once, and so calls the module while that runs: the SDK panics (measured).
            self.violation_on(context, "a held body made larger than the buffer limit: Envoy loses the VM");
        }
        Ok(())
    }

    /// Implements `proxy_get_property`; the path's parts are separated by NUL. Properties of the request's headers
    /// are there as long as those, and the request's time as long as the stream (measured).
    pub fn property(&self, path: &[u8]) -> Result<Vec<u8>, Status> {
        let pseudo_header = match path {
            b"request\0host" => ":authority",
            b"request\0method" => ":method",
            b"request\0path" => ":path",
            b"request\0scheme" => ":scheme",
            b"request\0time" => {
                let stream = self.streams.get(&self.context()).ok_or(Status::NotFound)?;
                // (`serializeValue` of a timestamp)
                let nanos = i64::try_from(stream.began.as_nanos()).expect("a time before the year 2262");
                return Ok(nanos.to_le_bytes().to_vec());
            }
            _ => {
                let state = self.streams.get(&self.context()).and_then(|stream| stream.filter_state.get(path));
                let value = state.or_else(|| self.properties.get(path)).cloned();
                return value.or_else(|| self.map_below(path)).ok_or(Status::NotFound);
            }
        };
        let value = self.map(MapType::HttpRequestHeaders).and_then(|headers| headers.get(pseudo_header));
        value.map(<[u8]>::to_vec).ok_or(Status::NotFound)
    }

    /// Writes the properties below a path as a map of them (`serializeValue`), if there are any.
    fn map_below(&self, path: &[u8]) -> Option<Vec<u8>> {
        let below = |(name, value): (&Vec<u8>, &Vec<u8>)| {
            let name = name.strip_prefix(path)?.strip_prefix(b"\0")?;
            Some((String::from_utf8_lossy(name).into_owned(), value.clone()))
        };
        let below: Headers = self.properties.iter().filter_map(below).collect();
        (below.len() > 0).then(|| below.to_wire())
    }

    /// Implements `proxy_set_property`: filter state of the stream. The root context has none.
    pub fn set_property(&mut self, path: Vec<u8>, value: Vec<u8>) -> Result<(), Status> {
        let context = self.context();
        self.streams.get_mut(&context).ok_or(Status::NotFound)?.filter_state.insert(path, value);
        Ok(())
    }
}
