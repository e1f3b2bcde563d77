-- uses packed
-- The closing windows of one rule that end before the watermark.
-- KEYS: the rule's sorted set of deadlines, the hash of its groups; ARGV: watermark, committed, span,
-- floor, whether values are counted, time to live, then for each group its field and its name.
-- What ends before `committed` was answered and is forgotten. Reply: as of observe.
local watermark, committed, span = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local floor, distinct, ttl = tonumber(ARGV[4]), ARGV[5] == '1', ARGV[6]
local reply = {}

local function counted(raw, first, after)
  if not distinct then return after - first end
  local hashes, count = {}, 0
  for place = first, after - 1 do
    local hash = string.sub(record(raw, 16, place), 9)
    if not hashes[hash] then
      hashes[hash] = true
      count = count + 1
    end
  end
  return count
end

local function decide(number, field, name)
  local raw = redis.call('HGET', KEYS[2], field)
  if not raw then return redis.call('ZREM', KEYS[1], name) end
  local size, first, drop, closed_until = (#raw - 16) / 16, 0, 0, number_at(raw, 0)
  local floor_until = number_at(raw, 8)
  local row, floored = {}, 0
  while first < size do
    local last = time_at(raw, 16, first) + span
    if last >= watermark then break end
    local after = first_at(raw, 16, size, last + 1, first)
    if last < committed then
      drop, closed_until = after, last
    else
      local count = counted(raw, first, after)
      if count >= floor then
        row[#row + 1] = last
        row[#row + 1] = count
        if last < floor_until then floored = 1 end
      end
    end
    first = after
  end
  if drop > 0 then
    local left = struct.pack('>i8i8', closed_until, floor_until) .. string.sub(raw, 16 + 16 * drop + 1)
    redis.call('HSET', KEYS[2], field, left)
    if drop == size then
      redis.call('ZREM', KEYS[1], name)
    else
      redis.call('ZADD', KEYS[1], time_at(raw, 16, drop) + span, name)
    end
  end
  if #row == 0 then return end
  for _, told in ipairs({ number, size - drop, floored, #row / 2 }) do reply[#reply + 1] = told end
  for _, told in ipairs(row) do reply[#reply + 1] = told end
end

for place = 7, #ARGV, 2 do decide((place - 5) / 2, ARGV[place], ARGV[place + 1]) end
redis.call('PEXPIRE', KEYS[2], ttl)
return reply
