const dialog = document.querySelector("dialog");
if (dialog) {
  const large = dialog.querySelector("img");
  for (const button of document.querySelectorAll("button.zoom")) {
    button.addEventListener("click", () => {
      const small = button.querySelector("img");
      large.src = small.src;
      large.alt = small.alt;
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
