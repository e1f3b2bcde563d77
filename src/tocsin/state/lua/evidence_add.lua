-- Add sightings to the evidence of some groups.
--
-- A group's evidence is packed as {values, records}: every text once, and records {time, id, places of
-- the texts in values}, in the order they came. The newest stay: at most ARGV[2] records, in at most
-- ARGV[1] bytes. KEYS: the groups; ARGV after that: per group the time to live in milliseconds (a
-- backstop) and the packed records {time, id, text, text, ...} to add.
local most_bytes, most_records = tonumber(ARGV[1]), tonumber(ARGV[2])

local function unpacked(held)
  if not held then return {}, {} end
  local values, rows = unpack(cmsgpack.unpack(held))
  local known = {}
  for _, row in ipairs(rows) do
    known[row[2]] = true
    for place = 3, #row do row[place] = values[row[place]] end
  end
  return rows, known
end

local function packed(records, first)
  local values, places, rows = {}, {}, {}
  for at = first, #records do
    local row = { records[at][1], records[at][2] }
    for place = 3, #records[at] do
      local text = records[at][place]
      if not places[text] then
        values[#values + 1] = text
        places[text] = #values
      end
      row[place] = places[text]
    end
    rows[#rows + 1] = row
  end
  return cmsgpack.pack({ values, rows })
end

for number = 1, #KEYS do
  local ttl, coming = ARGV[2 * number + 1], cmsgpack.unpack(ARGV[2 * number + 2])
  local records, known = unpacked(redis.call('GET', KEYS[number]))
  for _, record in ipairs(coming) do
    if not known[record[2]] then records[#records + 1] = record end
  end
  local first = math.max(1, #records - most_records + 1)
  local body = packed(records, first)
  while #body > most_bytes and first < #records do
    first = first + math.max(1, math.floor((#records - first) / 8))
    body = packed(records, first)
  end
  redis.call('SET', KEYS[number], body, 'PX', ttl)
end
return #KEYS
