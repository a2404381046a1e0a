# Tandem for Homebrew, in a tap of our own: brew install levitation/tandem/tandem, or brew install --formula ./tandem.rb
#
# It stands in no registry of Homebrew's, and so need not list each Python package as a resource: pip installs the list that
# the source brings along, by version and hash, as in all other packages of Tandem. The formula that a release has beside its
# other files bears the checksum of its source; deploy/homebrew/formula.py writes it. Here it is zeros, which match nothing.
#
# Tried: Ruby reads it; the commands that it runs install Tandem on Linux with Python 3.13. Not tried: Homebrew itself, on a Mac
# or on Linux; there its rewriting of library paths may not like the compiled packages.
class Tandem < Formula
  desc "SOCKS5 proxy over several internet links at once"
  homepage "https://github.com/levitation/tandem"
  url "https://github.com/levitation/tandem/releases/download/v0.2.0/tandem_proxy-0.2.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "MIT"

  depends_on "python@3.13"

  def install
    python = formula_python
    system python, "-m", "venv", buildpath/"tools"
    system python, "-m", "venv", libexec
    tools = buildpath/"tools/bin/pip"
    system tools, "install", "--require-hashes", "-r", "requirements/run.txt", "-r", "requirements/build.txt"
    system tools, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", "."
    system libexec/"bin/pip", "install", "--require-hashes", "-r", "requirements/run.txt"
    system libexec/"bin/pip", "install", "--no-deps", *Dir["wheels/*.whl"]
    bin.install_symlink libexec/"bin/tandem"
    generate_completions_from_executable(bin/"tandem", "completion", shells: [:bash, :zsh, :fish])
  end

  def formula_python
    Formula["python@3.13"].opt_bin/"python3.13"
  end

  def caveats
    <<~TEXT
      `brew services start tandem` runs the client with the invite in #{etc}/tandem/invite,
      which only you should be able to read. `tandem client @FILE` needs no service.
    TEXT
  end

  service do
    run [opt_bin/"tandem", "client", "@#{etc}/tandem/invite", "--no-console"]
    keep_alive successful_exit: false
    log_path var/"log/tandem.log"
    error_log_path var/"log/tandem.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/tandem --version")
    assert_match "# Configuration reference", shell_output("#{bin}/tandem config reference")
  end
end
