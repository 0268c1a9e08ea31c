-- Sends the headers of a file, one a request and in turn, and says at the end how it went as JSON.

local threads = {}
local headers = {}
local head
sent = 0

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  for line in io.lines(args[1]) do table.insert(headers, line) end
  head = 'GET ' .. wrk.path .. ' HTTP/1.1\r\nHost: ' .. wrk.headers['Host'] .. '\r\n'
end

function request()
  sent = sent + 1
  return head .. headers[(sent - 1) % #headers + 1] .. '\r\n\r\n'
end

function done(summary, latency, requests)
  local count = 0
  for _, thread in ipairs(threads) do count = count + thread:get('sent') end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"sent":%d,"seconds":%f,"p50Ms":%f,"p99Ms":%f,"refused":%d,"broken":%d}\n',
    summary.requests, count, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
