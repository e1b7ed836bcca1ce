# client.rb URL TOKEN: asks twice with Net::HTTP, and prints the heads of the answers.
require "net/http"

url, token = ARGV
2.times do
  answer = Net::HTTP.get_response(URI(url), { "Authorization" => "token #{token}" })
  puts "HTTP/1.1 #{answer.code}"
  answer.each_header { |name, value| puts "#{name}: #{value}" }
  puts
end
